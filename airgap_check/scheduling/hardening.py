"""What a unit of ours may do: the least with which it still sees everything, as measured under systemd 252.

Each capability was left out, and each restriction put in, alone, on a host with processes of other users, closed home
folders and other network and mount namespaces; what a collector lost by it is said here. `tests/live` repeats that
for each capability, and for PrivateUsers and ProcSubset.
"""

from __future__ import annotations

AUDIT_CAPABILITIES = {
    "CAP_SYS_PTRACE": "others' namespaces, settings and files: environment, sockets, listeners, resolution",
    "CAP_DAC_READ_SEARCH": "closed homes and folders: environment, artifact, state",
    "CAP_SYS_ADMIN": "joining the network namespaces of containers, setns(2): sockets, listeners; eBPF: attempts",
    "CAP_NET_ADMIN": "the namespace of another's socket: sockets, listeners; firewall; self_test",
}
WATCH_CAPABILITIES = AUDIT_CAPABILITIES | {
    "CAP_NET_RAW": "packets: traffic",
    "CAP_NET_BIND_SERVICE": "the server that the self-test reaches for, on port 443 of its own namespace: self_test",
}
# A local command of the alerts runs as another user, without any capability, and is killed when it takes too long.
ALERT_CAPABILITIES = {
    "CAP_SETUID": "becoming the user of a local command",
    "CAP_SETGID": "becoming the group of a local command",
    "CAP_SETPCAP": "giving up capabilities for good before a local command",
    "CAP_KILL": "ending a local command of another user",
}
# Left out on purpose: PrivateTmp and PrivateDevices (an EnvironmentFile= in /tmp or /dev/shm would be hidden),
# PrivateUsers (with it nothing of others is seen), PrivateNetwork (no name server or receiver of alerts is there),
# ProcSubset=pid (port ranges are in /proc/sys), ProtectHome=yes (units name files in homes), IPAddressDeny (names are
# asked).
COMMON = (
    "NoNewPrivileges=yes",
    "ProtectHome=read-only",
    "ProtectClock=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectProc=invisible",
    "DevicePolicy=closed",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RestrictNamespaces=net",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "RemoveIPC=yes",
    "KeyringMode=private",
    "UMask=0077",
    "SystemCallArchitectures=native",
)
# The self-test of a watch has a cgroup and a network of its own to fail in, and a long run should learn a new name.
AUDIT_ONLY = (
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
)
AUDIT_FAMILIES = "AF_UNIX AF_INET AF_INET6 AF_NETLINK"
WATCH_FAMILIES = f"{AUDIT_FAMILIES} AF_PACKET"
# setns: sockets of containers; pidfd_getfd: which namespace a socket of another process is of; bpf: attempts.
AUDIT_CALLS = "@system-service setns pidfd_getfd"
WATCH_CALLS = f"{AUDIT_CALLS} bpf perf_event_open"
