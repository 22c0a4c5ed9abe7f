/// <reference path="../pb_data/types.d.ts" />
// For the section `fanout`, target pocketbase_topic: votes are pushed to a topic of their room, so
// that PocketBase need not ask its database for each subscriber. Members alone may subscribe.

onRealtimeSubscribeRequest((e) => {
  if ($os.getenv("BENCH_TOPIC") === "on") {
    for (const topic of e.subscriptions) {
      const room = topic.startsWith("room/") ? topic.slice(5) : ""
      e.app.findFirstRecordByFilter("members", "room = {:room} && user = {:user}", {
        room: room,
        user: e.auth ? e.auth.id : "",
      }) // throws, and so refuses, if there is none
    }
  }
  e.next()
})

onRecordAfterCreateSuccess((e) => {
  e.next()
  if ($os.getenv("BENCH_TOPIC") !== "on") {
    return
  }
  const vote = e.record
  const name = "room/" + vote.get("room")
  const message = new SubscriptionMessage({
    name: name,
    data: JSON.stringify({
      id: vote.id,
      room: vote.get("room"),
      user: vote.get("user"),
      title: vote.get("title"),
      choice: vote.get("choice"),
    }),
  })
  for (const chunk of e.app.subscriptionsBroker().chunkedClients(300)) {
    for (const client of chunk) {
      if (client.hasSubscription(name)) {
        client.send(message)
      }
    }
  }
}, "votes")
