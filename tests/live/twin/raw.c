/* SPDX-License-Identifier: MIT OR Apache-2.0
 * The twin of airgap_check/kernel/programs/raw.py: packets of sockets that need no connect(2), and who made them.
 */
#include "attempt.h"

#define HOUSEKEEPING 2
enum { SOCK_RAW = 3, MPTCP = 262 };
enum { HOP_BY_HOP = 0, ICMP = 1, TCP = 6, UDP = 17, DCCP = 33, ROUTING = 43, FRAGMENT = 44, AUTHENTICATION = 51,
       ICMPV6 = 58, OPTIONS = 60, SCTP = 132, UDPLITE = 136 };
enum { EXTENSIONS = 7, SCTP_INIT = 1, TCP_RST = 4, TCP_ACK = 16, TCP_KNOWN = 63 };
enum { END = 0, NOTHING = 1, LOOSE = 131, STRICT = 137, LONGEST = 40 };

extern char makers;

/* Where the header behind that of IP begins, 0 where there is none: in all fragments but the first. */
struct transport {
	__u32 at;
	__u8 protocol;
};

/* What connect.c sees: TCP and UDP, but not raw sockets that were made for these protocols. */
static __always_inline int common(__u32 type, __u32 protocol)
{
	return type != SOCK_RAW && (protocol == TCP || protocol == UDP || protocol == MPTCP);
}

SEC("cgroup/making") int making(struct bpf_sock *context)
{
	struct event maker = {};

	if (common(context->type, context->protocol))
		return 1;
	maker.netns = bpf_get_netns_cookie(context);
	maker.started = started();
	write_executable(&maker);
	write_process(&maker);
	bpf_sk_storage_get(&makers, context, &maker, BPF_SK_STORAGE_GET_F_CREATE);
	return 1;
}

/* Whether the options say which way to go. */
static __always_inline int routed(struct __sk_buff *packet, __u32 end)
{
	__u8 option[2];
	__u32 at = 20;

#pragma clang loop unroll(disable)
	for (int left = LONGEST; left > 0 && at < end; left--) {
		if (bpf_skb_load_bytes(packet, at, option, 2) || option[0] == END)
			return 0;
		if (option[0] == LOOSE || option[0] == STRICT)
			return 1;
		if (option[0] != NOTHING && option[1] < 2)
			return 0;
		at += option[0] == NOTHING ? 1 : option[1];
	}
	return 0;
}

static __always_inline int find4(struct __sk_buff *packet, struct event *event, struct transport *found)
{
	struct {
		__u8 length : 4, version : 4;
		__u8 service;
		__be16 total, identity, fragment;
		__u8 time_to_live, protocol;
		__be16 checksum;
		__be32 source, destination;
	} header;

	if (bpf_skb_load_bytes(packet, 0, &header, sizeof(header)))
		return 0;
	event->address[10] = event->address[11] = 0xff;
	__builtin_memcpy(event->address + 12, &header.destination, 4);
	found->protocol = header.protocol;
	if (routed(packet, (*(__u8 *)&header & 15) * 4))
		event->flags = SOURCE_ROUTED;
	found->at = bpf_ntohs(header.fragment) & 0x1fff ? 0 : (*(__u8 *)&header & 15) * 4;
	return 1;
}

static __always_inline int extends(__u8 protocol)
{
	return protocol == HOP_BY_HOP || protocol == ROUTING || protocol == FRAGMENT || protocol == AUTHENTICATION ||
	       protocol == OPTIONS;
}

static __always_inline int find6(struct __sk_buff *packet, struct event *event, struct transport *found)
{
	struct {
		__u8 next, length;
		__be16 fragment;
	} extension;

	if (bpf_skb_load_bytes(packet, 24, event->address, 16) || bpf_skb_load_bytes(packet, 6, &found->protocol, 1))
		return 0;
	found->at = 40;
#pragma unroll
	for (int number = 0; number < EXTENSIONS; number++) {
		if (found->protocol == ROUTING)
			event->flags = SOURCE_ROUTED;
		if (!extends(found->protocol) || bpf_skb_load_bytes(packet, found->at, &extension, sizeof(extension)))
			break;
		if (found->protocol == FRAGMENT && bpf_ntohs(extension.fragment) >= 8) {
			found->protocol = extension.next;
			found->at = 0;
			break;
		}
		if (found->protocol == FRAGMENT)
			found->at += 8;
		else if (found->protocol == AUTHENTICATION)
			found->at += (extension.length + 2) * 4;
		else
			found->at += (extension.length + 1) * 8;
		found->protocol = extension.next;
	}
	return 1;
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == TCP || protocol == UDP || protocol == DCCP || protocol == SCTP || protocol == UDPLITE;
}

/* What the kernel sends by itself, from sockets of its own. */
static __always_inline int ordinary(struct __sk_buff *packet, struct transport *transport)
{
	__u8 kind;

	if (!transport->at)
		return 0;
	switch (transport->protocol) {
	case TCP:
		return !bpf_skb_load_bytes(packet, transport->at + 13, &kind, 1) &&
		       (kind & TCP_RST || (kind & TCP_KNOWN) == TCP_ACK);
	case ICMP:
		return !bpf_skb_load_bytes(packet, transport->at, &kind, 1) &&
		       (kind == 0 || kind == 3 || kind == 11 || kind == 12 || kind == 14);
	case ICMPV6:
		return !bpf_skb_load_bytes(packet, transport->at, &kind, 1) &&
		       ((kind >= 1 && kind <= 4) || (kind >= 129 && kind <= 137) || kind == 143);
	}
	return 0;
}

static __always_inline int housekeeping(struct __sk_buff *packet, struct transport *transport, struct bpf_sock **sock)
{
	char *kernel;
	__u8 byte;

	if (!ordinary(packet, transport) || bpf_probe_read_kernel(&kernel, 8, sock))
		return 0;
	return !bpf_probe_read_kernel(&byte, 1, kernel + KERNEL_OWN_BYTE) && byte & KERNEL_OWN_MASK;
}

/* SCTP: a socket that was called answers too, so only its first message counts. */
static __always_inline int answers(struct __sk_buff *packet, struct transport *transport, __u8 type)
{
	__u8 chunk = 0;

	if (transport->protocol != SCTP || type == SOCK_RAW)
		return 0;
	return !transport->at || bpf_skb_load_bytes(packet, transport->at + 12, &chunk, 1) || chunk != SCTP_INIT;
}

static __always_inline void write_maker(struct __sk_buff *packet, struct bpf_sock *sock, struct event *event)
{
	struct event *maker = bpf_sk_storage_get(&makers, sock, 0, 0);

	if (!maker) {
		event->uid = bpf_get_socket_uid(packet);
		event->netns = bpf_get_netns_cookie(packet);
		return;
	}
	event->pid = maker->pid;
	event->tid = maker->tid;
	event->uid = maker->uid;
	event->netns = maker->netns;
	event->started = maker->started;
	event->executable = maker->executable;
	event->device = maker->device;
	event->flags &= ~HOUSEKEEPING;
	__builtin_memcpy(event->command, maker->command, sizeof(event->command));
}

SEC("cgroup/egress") int egress(struct __sk_buff *packet)
{
	struct bpf_sock *sock = packet->sk;
	struct transport transport = {};
	struct event event = {};
	struct seen_key key;
	__u64 classes;

	if (!sock)
		return 1;
	sock = bpf_sk_fullsock(sock);
	if (!sock)
		return 1;
	event.type = sock->type;
	event.family = packet->family;
	if (packet->protocol == bpf_htons(0x0800)) {
		if (!find4(packet, &event, &transport))
			return 1;
	} else if (packet->protocol != bpf_htons(0x86dd) || !find6(packet, &event, &transport)) {
		return 1;
	}
	if (common(sock->type, sock->protocol) && !event.flags)
		return 1;
	event.protocol = transport.protocol;
	if (transport.at && has_ports(transport.protocol))
		bpf_skb_load_bytes(packet, transport.at + 2, &event.port, 2);
	event.cgroup = bpf_skb_cgroup_id(packet);
	if (answers(packet, &transport, event.type))
		return 1;
	if (!event.flags && housekeeping(packet, &transport, &sock))
		event.flags = HOUSEKEEPING;
	classes = approved(&event);
	if (classes) {
		if (!(classes & EVERYTHING))
			count_use(classes, event.cgroup);
		return 1;
	}
	event.hook = BPF_CGROUP_INET_EGRESS;
	event.cookie = bpf_get_socket_cookie(packet);
	write_maker(packet, sock, &event);
	event.at = bpf_ktime_get_ns();
	key = key_of(&event, event.cookie);
	if (is_new(&key, event.at))
		say(&event, &key);
	return 1;
}
