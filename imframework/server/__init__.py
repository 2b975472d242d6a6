"""The service as a process: everything put together, started in order, watched, and stopped in order.

This is the only room that knows all others. It holds no logic of its own: what an operation does is in `core`, what a
request looks like in the front ends.
"""
