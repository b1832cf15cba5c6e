"""The platform inside one process, or as a family of processes on one machine.

`door` opens a project, here or far away; `inprocess` is the platform without a socket; `server` composes what listens, and
`control` is its process; `family` starts control plane, gateway and workers, and `supervisor` keeps them. Import what you need
of them: this package itself imports nothing, so that the processes of the family start in no time.
"""
