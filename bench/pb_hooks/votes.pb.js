/// <reference path="../pb_data/types.d.ts" />
// What PocketBase needs beyond its collections and rules to do a vote's work.

// pocketbase_full: the shipped pragmas are WAL with synchronous=NORMAL, which may lose the last
// acknowledged votes on a power cut. All writes go through one pooled connection, so setting the
// pragma there is enough; GET /bench/synchronous and the `durability` section prove that it held.
onBootstrap((e) => {
  e.next()
  if ($os.getenv("BENCH_SYNCHRONOUS") === "full") {
    e.app.nonconcurrentDB().newQuery("PRAGMA synchronous=FULL").execute()
  }
})

routerAdd("GET", "/bench/synchronous", (e) => {
  const row = new DynamicModel({ synchronous: -1 })
  e.app.nonconcurrentDB().newQuery("PRAGMA synchronous").one(row)
  return e.json(200, { synchronous: row.synchronous })
})

// The tally is kept in the transaction of the vote. The hook wraps only the insert: the rule and the
// relation checks have run before it, outside the writer's connection, which is cheapest for PocketBase.
onRecordCreateExecute((e) => {
  if ($os.getenv("BENCH_TALLY") !== "hook") {
    return e.next()
  }
  const outer = e.app
  outer.runInTransaction((tx) => {
    e.app = tx
    e.next()
    if (e.record.get("choice") === "yes") {
      tx.db()
        .newQuery(
          "INSERT INTO tallies (room, title, yes) VALUES ({:room}, {:title}, 1) " +
            "ON CONFLICT (room, title) DO UPDATE SET yes = yes + 1",
        )
        .bind({ room: e.record.get("room"), title: e.record.get("title") })
        .execute()
    }
  })
  e.app = outer
}, "votes")
