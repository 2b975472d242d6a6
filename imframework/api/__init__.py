"""The public, versioned API: everything a plugin may import, and nothing else.

`errors`     one hierarchy of errors, each with a stable code
`model`      the nouns: credentials, machines, resources, states, events
`plugin`     what a plugin says about itself, and the options it owns
`connector`  clouds; `storage` databases; `auth` identity; `frontend` APIs; `hooks` everything that wants to act around
`service`    the façade that front ends are handed
"""
