/* SPDX-License-Identifier: MIT OR Apache-2.0
 * The twin of airgap_check/kernel/programs/held.py: one row for each socket that a process holds.
 *
 * Where the kernel keeps its fields is told by definitions that are named after them.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "number.h"

enum { INET = 2, INET6 = 10, PACKET = 17, XDP = 44 };

struct context {
	__bpf_md_ptr(void *, meta);
	__bpf_md_ptr(void *, task);
	__u32 descriptor;
	__bpf_md_ptr(struct file *, file);
};

struct row {
	__u64 netns, started, cookie;
	__u32 pid, descriptor;
	__u16 family, protocol, type;
	__u8 state, zero;
	__u16 local_port;
	__be16 remote_port;
	__u32 zeros;
	__u64 cgroup;
	__u8 local[16], remote[16];
};

static __always_inline void write_address(__u8 *to, void *sock, int six, int offset4, int offset6)
{
	if (six) {
		AT(__u64, to, 0) = AT(__u64, sock, offset6);
		AT(__u64, to, 8) = AT(__u64, sock, offset6 + 8);
	} else {
		to[10] = to[11] = 0xff;
		AT(__u32, to, 12) = AT(__u32, sock, offset4);
	}
}

SEC("iter/held") int held(struct context *context)
{
	struct row row = {};
	void *task = context->task, *socket, *sock, *net, *leader, *cgroup, *node;
	struct file *file = context->file;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sock = AT(void *, socket, SOCKET_SK);
	if (!sock)
		return 0;
	row.type = AT(__u16, socket, SOCKET_TYPE);
	row.family = AT(__u16, sock, SKC_FAMILY);
	if (row.family == INET || row.family == INET6) {
		write_address(row.local, sock, row.family == INET6, SKC_RCV_SADDR, SKC_V6_RCV_SADDR);
		write_address(row.remote, sock, row.family == INET6, SKC_DADDR, SKC_V6_DADDR);
		row.local_port = AT(__u16, sock, SKC_NUM);
		row.remote_port = AT(__be16, sock, SKC_DPORT);
	} else if (row.family != PACKET && row.family != XDP) {
		return 0;
	}
	row.protocol = AT(__u16, sock, SK_PROTOCOL);
	row.state = AT(__u8, sock, SKC_STATE);
	row.descriptor = context->descriptor;
	row.cookie = bpf_get_socket_cookie(sock);
	net = AT(void *, sock, SKC_NET);
	if (net)
		row.netns = AT(__u64, net, NET_COOKIE);
	cgroup = AT(void *, sock, SK_CGROUP);
	node = cgroup ? AT(void *, cgroup, CGROUP_KN) : 0;
	if (node)
		row.cgroup = AT(__u64, node, NODE_ID);
	leader = AT(void *, task, GROUP_LEADER);
	if (leader) {
		row.started = AT(__u64, leader, START_BOOTTIME);
		row.pid = number(AT(void *, leader, THREAD_PID));
	}
	bpf_seq_write(AT(void *, context->meta, 0), &row, sizeof(row));
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
