// An evening by Apollo: Ana opens a room and follows it. Prints a line of JSON for each thing that
// happens. Ben joins and casts the decisive vote from outside, by another client.
//
//   node evening.mjs http://127.0.0.1:8000                the evening
//   node evening.mjs http://127.0.0.1:8000 refused        with a token that is none
//   node evening.mjs http://127.0.0.1:8000 stranger ROOM  with a room that Ana is no member of

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client'
import { createAuthLink } from 'aws-appsync-auth-link'
import { createSubscriptionHandshakeLink } from 'aws-appsync-subscription-link'
import WebSocket from 'ws'

globalThis.WebSocket = WebSocket // as browsers and newer Nodes have it

const [address, how, elsewhere] = process.argv.slice(2)
const say = (event, more) => console.log(JSON.stringify({ event, ...more }))

const signIn = async (name) => {
  const answer = await fetch(`${address}/api/auth/guest`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name })
  })
  return (await answer.json()).accessToken
}

const token = how === 'refused' ? 'not.a.token' : await signIn('Ana')
const url = `${address}/graphql`
const auth = { type: 'OPENID_CONNECT', jwtToken: () => token }
const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: ApolloLink.from([
    createAuthLink({ url, region: 'local', auth }),
    createSubscriptionHandshakeLink({ url, region: 'local', auth }, new HttpLink({ uri: url }))
  ])
})

const follow = (room, heard = () => {}) =>
  new Promise((resolve, reject) => {
    const following = client
      .subscribe({
        query: gql`
          subscription ($room: ID!) {
            onRoomEvent(roomId: $room) {
              cursor
              roomId
              type
              at
              actorId
              data
            }
          }
        `,
        variables: { room }
      })
      .subscribe({
        next: ({ data, error }) => {
          if (error) return reject(error)
          heard()
          const event = data.onRoomEvent
          say('data', { type: event.type, data: JSON.parse(event.data) })
          if (event.type === 'matchFound') {
            following.unsubscribe()
            resolve()
          }
        },
        error: reject
      })
  })

// Apollo wraps what the link says.
const refusal = (error) => ({ status: error.statusCode, errors: error.cause?.errors })

if (how === 'refused') {
  await client
    .query({ query: gql`query { me { id } }` })
    .then((answer) => say('answered', answer))
    .catch((error) => say('queryRefused', refusal(error)))
  await follow('some-room').catch((error) => say('subscriptionRefused', refusal(error)))
} else if (how === 'stranger') {
  await follow(elsewhere).catch((error) => say('subscriptionRefused', refusal(error)))
} else {
  const created = await client.mutate({
    mutation: gql`
      mutation ($input: CreateRoomInput!) {
        createRoom(input: $input) {
          id
          code
          members {
            name
            role
          }
        }
      }
    `,
    variables: { input: { deck: { source: 'list', items: [{ title: 'Pizza' }, { title: 'Sushi' }] } } }
  })
  const room = created.data.createRoom
  say('created', { room })

  // The link does not tell when it is live, so something harmless happens until it is heard.
  let live = false
  const matched = follow(room.id, () => (live = true))
  for (let n = 1; !live; n++) {
    const renamed = client.mutate({
      mutation: gql`
        mutation ($room: ID!, $name: String!) {
          updateRoom(roomId: $room, name: $name) {
            id
            name
          }
        }
      `,
      variables: { room: room.id, name: `Evening ${n}` }
    })
    await Promise.race([Promise.all([renamed, new Promise((go) => setTimeout(go, 50))]), matched])
  }

  const next = await client.query({
    query: gql`
      query ($room: ID!) {
        nextTitles(roomId: $room) {
          items {
            id
            title
          }
        }
      }
    `,
    variables: { room: room.id }
  })
  const pizza = next.data.nextTitles.items.find(({ title }) => title === 'Pizza')
  const voted = await client.mutate({
    mutation: gql`
      mutation ($room: ID!, $title: ID!) {
        castVote(roomId: $room, titleId: $title, choice: yes) {
          accepted
          matches {
            titleId
          }
        }
      }
    `,
    variables: { room: room.id, title: pizza.id }
  })
  say('voted', { titleId: pizza.id, castVote: voted.data.castVote })
  await matched.catch((error) => say('lost', refusal(error)))
}
say('done', {})
process.exit() // a subscription that was refused leaves a timer behind
