// An evening by Amplify: Ana opens a room, Ben joins, both follow it. Prints a line of JSON for
// each thing that happens. Ben's decisive vote comes from outside, from another client.
//
//   node evening.mjs http://127.0.0.1:8000           the evening
//   node evening.mjs http://127.0.0.1:8000 refused   with a token that is none
//   node evening.mjs http://127.0.0.1:8000 stranger ROOM
//                                                    with a room that Ana is no member of

import { Amplify } from 'aws-amplify'
import { CONNECTION_STATE_CHANGE, generateClient } from 'aws-amplify/api'
import { Hub } from 'aws-amplify/utils'
import WebSocket from 'ws'

globalThis.WebSocket = WebSocket // as browsers and newer Nodes have it

const [address, how, elsewhere] = process.argv.slice(2)
const say = (event, more) => console.log(JSON.stringify({ event, ...more }))

const signIn = async (name) => {
  if (how === 'refused') return { accessToken: 'not.a.token' }
  const answer = await fetch(`${address}/api/auth/guest`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name })
  })
  return answer.json()
}

const ana = await signIn('Ana')
const ben = await signIn('Ben')
say('signedIn', { ben: ben.accessToken })

const { host } = new URL(address)
Amplify.configure(
  {
    API: {
      GraphQL: { endpoint: `http://${host}/graphql`, region: 'local', defaultAuthMode: 'oidc' }
    }
  },
  { Auth: { tokenProvider: { getTokens: async () => ({ accessToken: ana.accessToken }) } } }
)
// Ana's token comes from the token provider, Ben's with each call.
const client = generateClient()
const live = generateClient({ endpoint: `ws://${host}/graphql`, authMode: 'oidc' })
const asBen = { authMode: 'lambda', authToken: ben.accessToken }

Hub.listen('api', ({ payload }) => {
  if (payload.event === CONNECTION_STATE_CHANGE) {
    say('connection', { state: payload.data.connectionState })
  } else if (payload.event === 'Subscription ack') {
    say('start_ack', {})
  }
})

const follow = (room, who, mode) =>
  new Promise((resolve, reject) => {
    const following = live
      .graphql({
        query: `subscription ($room: ID!) {
          onRoomEvent(roomId: $room) { cursor roomId type at actorId data }
        }`,
        variables: { room },
        ...mode
      })
      .subscribe({
        next: ({ data, errors }) => {
          const event = data.onRoomEvent
          say('data', { who, type: event.type, data: JSON.parse(event.data), errors })
          if (event.type === 'matchFound') {
            following.unsubscribe()
            resolve()
          }
        },
        error: reject
      })
  })

const refusal = ({ errors, ...rest }) =>
  errors ? { messages: errors.map(({ message }) => message) } : { messages: [String(rest)] }

if (how === 'refused') {
  await client
    .graphql({ query: 'query { me { id } }' })
    .then((answer) => say('answered', answer))
    .catch((error) => say('queryRefused', refusal(error)))
  await follow('some-room', 'Ana', {}).catch((error) => say('subscriptionRefused', refusal(error)))
} else if (how === 'stranger') {
  await follow(elsewhere, 'Ana', {}).catch((error) => say('subscriptionRefused', refusal(error)))
} else {
  const { createRoom: room } = (
    await client.graphql({
      query: `mutation ($input: CreateRoomInput!) {
        createRoom(input: $input) { id code name deckSize members { name role } }
      }`,
      variables: {
        input: {
          name: 'Friday',
          deck: { source: 'list', items: [{ title: 'Pizza' }, { title: 'Sushi' }] }
        }
      }
    })
  ).data
  say('created', { room })

  const { joinRoom: joined } = (
    await client.graphql({
      query: `mutation ($code: String!) { joinRoom(code: $code) { id members { name role } } }`,
      variables: { code: room.code },
      ...asBen
    })
  ).data
  say('joined', { room: joined })

  const acknowledged = new Promise((resolve) => {
    let left = 2
    Hub.listen('api', ({ payload }) => {
      if (payload.event === 'Subscription ack' && --left === 0) resolve()
    })
  })
  const matched = Promise.all([follow(room.id, 'Ana', {}), follow(room.id, 'Ben', asBen)])
  await Promise.race([acknowledged, matched])

  const { nextTitles } = (
    await client.graphql({
      query: `query ($room: ID!) {
        nextTitles(roomId: $room) { remaining items { id title } }
      }`,
      variables: { room: room.id }
    })
  ).data
  const pizza = nextTitles.items.find(({ title }) => title === 'Pizza')
  const { castVote } = (
    await client.graphql({
      query: `mutation ($room: ID!, $title: ID!) {
        castVote(roomId: $room, titleId: $title, choice: yes) { accepted matches { titleId } }
      }`,
      variables: { room: room.id, title: pizza.id }
    })
  ).data
  say('voted', { titleId: pizza.id, castVote })
  await matched
}
say('done', {})
process.exit() // Amplify waits 15 s for an answer to a subscription that was refused
