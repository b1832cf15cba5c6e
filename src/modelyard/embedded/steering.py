"""Which of the sockets that share a port take up who connects: the kernel is told, and needs nobody for it.

By itself it spreads callers over all sockets that listen on the port, whether somebody answers there or not. A program of a few
instructions, attached to the port, chooses one of those named at random instead. Linux only.
"""

import ctypes
import socket
from collections.abc import Sequence
from struct import Struct

_ATTACH = 51  # SO_ATTACH_REUSEPORT_CBPF, in no module of Python's
_INSTRUCTION = Struct("HBBI")  # struct sock_filter: code, jump if true, jump if false, operand
_PROGRAM = Struct("HP")  # struct sock_fprog: length, address
_RANDOM = 0xFFFF_F000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_LOAD, _MODULO, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x94, 0x15, 0x06  # BPF_LD+W+ABS, BPF_ALU+MOD+K, BPF_JMP+JEQ+K, BPF_RET+K


def steer(listener: socket.socket, places: Sequence[int]) -> None:
    """Have new connections taken up by some sockets of those that share a port.

    Parameters
    ----------
    listener
        One of the sockets.
    places
        Of those that are to take connections, counted from 0 in the order in which they began to listen; one at least.

    Raises
    ------
    OSError
        The system cannot be told.
    """
    code = _code(places)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _PROGRAM.pack(len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    listener.setsockopt(socket.SOL_SOCKET, _ATTACH, program)


def _code(places: Sequence[int]) -> bytes:
    *others, last = places
    steps = [(_LOAD, 0, 0, _RANDOM), (_MODULO, 0, 0, len(places))]
    for number, place in enumerate(others):
        steps += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, place)]
    return b"".join(_INSTRUCTION.pack(*step) for step in (*steps, (_RETURN, 0, 0, last)))
