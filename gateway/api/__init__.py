"""The agency port: HTTP and JSON for the systems of a nation's own agencies.

This package turns requests into calls of `gateway.node` and answers into JSON. An agency
is known by the key of its certificate, and sees its own messages and nothing else.
`operations` is the table of all calls, from which the router and the OpenAPI document are
made; what an error means in HTTP stands in `gateway.web.problem_table`.

Spec: docs/api.md.
"""
