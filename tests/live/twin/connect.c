/* SPDX-License-Identifier: MIT OR Apache-2.0
 * The twin of airgap_check/kernel/programs/connect.py: every connect(2), and every datagram to an address.
 */
#include "attempt.h"

enum { OURS = 1, THEIRS = 2 };

struct peer {
	__u64 cookie;
	__u8 address[16];
	__be16 port;
	__u8 zero[6];
};

static __always_inline void write_address(__u8 *address, struct bpf_sock_addr *context, int six)
{
	__u32 *words = (__u32 *)address;

	words[0] = six ? context->user_ip6[0] : 0;
	words[1] = six ? context->user_ip6[1] : 0;
	words[2] = six ? context->user_ip6[2] : bpf_htonl(0xffff);
	words[3] = six ? context->user_ip6[3] : context->user_ip4;
}

static __always_inline struct peer peer_of(struct bpf_sock_addr *context, int six)
{
	struct peer peer = {};

	peer.cookie = bpf_get_socket_cookie(context);
	write_address(peer.address, context, six);
	peer.port = context->user_port;
	return peer;
}

/* Whoever is remembered first stays. */
static __always_inline __u64 spoke_first(struct peer *peer, __u64 now)
{
	__u64 *before = bpf_map_lookup_elem(&peers, peer);

	if (before)
		return *before;
	bpf_map_update_elem(&peers, peer, &now, BPF_NOEXIST);
	return now;
}

static __always_inline int initiation(struct bpf_sock_addr *context, int hook, int six, int send)
{
	struct event event = {};
	struct seen_key key;
	__u64 classes, process = bpf_get_current_pid_tgid() >> 32;

	write_address(event.address, context, six);
	event.port = context->user_port;
	event.protocol = context->protocol;
	classes = approved(&event);
	if (classes) {
		if (!(classes & EVERYTHING))
			count_use(classes, bpf_get_current_cgroup_id());
		return 1;
	}
	event.hook = hook;
	event.family = context->family;
	event.type = context->type;
	event.local_port = context->sk->src_port;
	if (event.local_port == 68 || event.local_port == 546)
		event.flags = FROM_DHCP_CLIENT;
	if (send) {
		struct peer peer = peer_of(context, six);

		if (spoke_first(&peer, OURS) == THEIRS) {
			event.flags = REPLY;
			event.port = 0;
		}
	}
	event.cgroup = bpf_get_current_cgroup_id();
	event.netns = bpf_get_netns_cookie(context);
	event.started = started();
	write_executable(&event);
	event.at = bpf_ktime_get_ns();
	key = key_of(&event, process);
	if (is_new(&key, event.at)) {
		event.cookie = bpf_get_socket_cookie(context);
		write_process(&event);
		say(&event, &key);
	}
	return 1;
}

SEC("cgroup/connect4") int connect4(struct bpf_sock_addr *context)
{
	return initiation(context, BPF_CGROUP_INET4_CONNECT, 0, 0);
}

SEC("cgroup/connect6") int connect6(struct bpf_sock_addr *context)
{
	return initiation(context, BPF_CGROUP_INET6_CONNECT, 1, 0);
}

SEC("cgroup/sendmsg4") int sendmsg4(struct bpf_sock_addr *context)
{
	return initiation(context, BPF_CGROUP_UDP4_SENDMSG, 0, 1);
}

SEC("cgroup/sendmsg6") int sendmsg6(struct bpf_sock_addr *context)
{
	return initiation(context, BPF_CGROUP_UDP6_SENDMSG, 1, 1);
}


SEC("cgroup/recvmsg4") int recvmsg4(struct bpf_sock_addr *context)
{
	struct peer peer = peer_of(context, 0);

	spoke_first(&peer, THEIRS);
	return 1;
}

SEC("cgroup/recvmsg6") int recvmsg6(struct bpf_sock_addr *context)
{
	struct peer peer = peer_of(context, 1);

	spoke_first(&peer, THEIRS);
	return 1;
}
