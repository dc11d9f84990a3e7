"""A radio world without hardware: bumble's virtual controllers, peripherals, and a bleak backend over its host stack.

The peripherals' and the gateway's stacks are both real (L2CAP, ATT, GATT, SMP); only the air between the controllers is
made up. The gateway's side talks HCI over TCP to its controller, which may live in this process or in another.
"""
