"""Knows which packets tell who wants to speak to whom, as a classic BPF filter: the few that user space looks at.

Written for AF_PACKET sockets of the kind SOCK_DGRAM, where every packet of every link begins at its network header.
Wanted are, of what leaves by an interface other than loopback: TCP SYN, the segment in which a TLS ClientHello or an
HTTP request begins, QUIC Initial, ICMP echo requests, SCTP INIT, datagrams to port 853, and what only IPv6 extension
headers hide. Questions of DNS, mDNS and LLMNR are wanted when they leave, answers when they arrive; on loopback, where
a local stub resolver is asked, both are taken on the way out, as the kernel shows every packet there twice.

A packet that a host routes arrives on one interface and leaves by another: only the latter is looked at.
"""

from __future__ import annotations

from airgap_check.kernel.socket_filter import BYTE, HALF, HARDWARE_TYPE, PACKET_TYPE, PROTOCOL, WORD, Assembler

OUTGOING = 4  # PACKET_OUTGOING of include/uapi/linux/if_packet.h
WHOLE = 0x4800  # bytes: a TLS record (RFC 8446 5.1) and its headers

_LOOPBACK = 772  # ARPHRD_LOOPBACK of include/uapi/linux/if_arp.h
_IPV4, _IPV6, _VLAN, _PROVIDER_VLAN = 0x0800, 0x86DD, 0x8100, 0x88A8
_TCP, _UDP, _SCTP = 6, 17, 132
_ICMP, _ICMPV6, _FRAGMENT = 1, 58, 44
_EXTENSIONS = (0, 43, 51, 60, 135)  # hop by hop, routing, authentication, destination, mobility
_NAME_SERVICES = (53, 5353, 5355)
_QUIC_VERSIONS = (0x00000001, 0x6B3343CF)  # RFC 9000, RFC 9369
_METHODS = (b"GET ", b"POST", b"HEAD", b"PUT ", b"CONN", b"OPTI", b"DELE", b"PATC", b"TRAC", b"PRI ")


def program() -> bytes:
    """Return the filter's bytecode."""
    code = Assembler()
    _network(code)
    _udp(code)
    _tcp(code)
    code.label("echo").load_indexed(BYTE, 0).jump_if("==", 8, "leaves", "refuse")
    code.label("echo6").load_indexed(BYTE, 0).jump_if("==", 128, "leaves", "refuse")
    code.label("sctp").load_indexed(BYTE, 12).jump_if("==", 1, "leaves", "refuse")  # the first chunk: INIT
    code.label("leaves").load(WORD, PACKET_TYPE).jump_if("==", OUTGOING, no="refuse")
    code.load(HALF, HARDWARE_TYPE).jump_if("==", _LOOPBACK, "refuse", "take")
    code.label("arrives").load(HALF, HARDWARE_TYPE).jump_if("==", _LOOPBACK, "arrives on loopback")
    code.load(WORD, PACKET_TYPE).jump_if("==", OUTGOING, "refuse", "take")
    code.label("arrives on loopback").load(WORD, PACKET_TYPE).jump_if("==", OUTGOING, "take", "refuse")
    code.label("refuse").leave(0)
    code.label("take").leave(WHOLE)
    return code.build()


def _network(code: Assembler) -> None:
    """Find the transport: its header begins at the index. Of fragments, only the first has one."""
    code.load(HALF, PROTOCOL).branch({_IPV4: "v4", _IPV6: "v6", _VLAN: "tagged", _PROVIDER_VLAN: "tagged"}, "refuse")
    # A tag that no hardware took off stands before the network header, where the packet begins for us.
    code.label("tagged").load(BYTE, 0).shift_right(4).branch({4: "v4", 6: "v6"}, "refuse")
    code.label("v4").load(HALF, 6).jump_if("&", 0x1FFF, "refuse")
    code.index_header(0).load(BYTE, 9).branch({_TCP: "tcp", _UDP: "udp", _ICMP: "echo", _SCTP: "sctp"}, "refuse")
    code.label("v6").index(40).load(BYTE, 6)
    code.branch({_TCP: "tcp", _UDP: "udp", _ICMPV6: "echo6", _SCTP: "sctp", _FRAGMENT: "fragment"})
    code.branch(dict.fromkeys(_EXTENSIONS, "leaves"), "refuse")
    code.label("fragment").load(HALF, 42).jump_if("&", 0xFFF8, "refuse", "leaves")


def _udp(code: Assembler) -> None:
    code.label("udp").load_indexed(HALF, 2).branch(dict.fromkeys(_NAME_SERVICES, "asks"), "from")
    code.label("asks").load(WORD, PACKET_TYPE).jump_if("==", OUTGOING, "take")
    code.label("from").load_indexed(HALF, 0).branch(dict.fromkeys(_NAME_SERVICES, "arrives"))
    code.load_indexed(HALF, 2).jump_if("==", 853, "leaves")
    code.load_indexed(BYTE, 8).conjoin(0xC0).jump_if("==", 0xC0, no="refuse")  # a long header
    code.load_indexed(WORD, 9).branch(dict.fromkeys(_QUIC_VERSIONS, "leaves"), "refuse")


def _tcp(code: Assembler) -> None:
    code.label("tcp").load_indexed(BYTE, 13).conjoin(0x12).jump_if("==", 2, "leaves")  # SYN without ACK
    code.load_indexed(HALF, 2).jump_if("==", 53, "stream asks")
    code.load_indexed(HALF, 0).jump_if("==", 53, "stream answers")
    code.load(WORD, PACKET_TYPE).jump_if("==", OUTGOING, no="refuse")  # most of a download ends here
    _skip_tcp_header(code)
    code.jump_if(">=", 6, no="piece")
    code.load_indexed(WORD, 0).branch({int.from_bytes(method, "big"): "leaves" for method in _METHODS})
    code.shift_right(8).jump_if(">=", 0x160300, no="refuse").jump_if(">", 0x160304, "refuse")
    code.load_indexed(BYTE, 5).jump_if("==", 1, "leaves", "refuse")  # client_hello
    code.label("piece").load_indexed(BYTE, 0).jump_if("==", 0x16, "leaves", "refuse")  # of a hello, to be continued
    code.label("stream asks")
    _skip_tcp_header(code)
    code.load(WORD, PACKET_TYPE).jump_if("==", OUTGOING, "take", "refuse")
    code.label("stream answers")
    _skip_tcp_header(code)
    code.jump("arrives")


def _skip_tcp_header(code: Assembler) -> None:
    """Let the index point at what the segment carries, the accumulator say how much; a bare segment is refused."""
    code.load_indexed(BYTE, 12).conjoin(0xF0).shift_right(2).add_index().index_accumulator()
    code.load_length().subtract_index().jump_if("==", 0, "refuse")
