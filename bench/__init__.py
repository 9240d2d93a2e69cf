"""The measurements that the README quotes: ``python -m bench``, or ``… -m bench puts``.

Servers run in processes of their own on one core, the load client on another, and all
of it on loopback addresses.
"""
