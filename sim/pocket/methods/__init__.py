"""The RPC methods by subject.

To add a method, write a function ``handler(world, owner, *arguments)`` in the module of its subject
and name it in that module's ``METHODS`` with `returns` (it answers a value), `completes` (awaited,
no value), `fires` (fire and forget) or `answers_bare`. `table` collects all modules.
"""
