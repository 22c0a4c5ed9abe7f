"""AppSync's GraphQL API on one machine.

`schema`: the SDL with what AppSync adds; `documents`: from a text to a document that may be
executed; `api`: HTTP, and fields resolved by functions. graphql-core is imported by these three
alone, when the first request comes: a server starts without it.
"""
