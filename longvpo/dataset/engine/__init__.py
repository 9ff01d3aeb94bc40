"""Where the work of a build is done: in this process, or by workers on the machines of a Ray cluster.

The rule: an engine decides who works and when, and never what comes out: the bytes are the same on all. Only the
folder of work says what was done, by its blocks and its journal. Only modules of this folder import ray.
"""
