/* SPDX-License-Identifier: MIT OR Apache-2.0
 * The twin of airgap_check/kernel/programs/queue.py: what packet sockets give a device to send.
 *
 * Where the kernel keeps its fields is told by definitions that are named after them.
 */
#include "attempt.h"

enum { PACKET = 17, QUEUE = 200, ETHERNET = 1, LOOPBACK = 1 << 3, IPV4 = 0x0800, IPV6 = 0x86dd };

extern char cgroups;

/* The network header, and where the piece ends that the packet begins with: the rest of it is elsewhere. */
struct piece {
	char *header;
	__u64 end;
};

static __always_inline int fits(struct piece *piece, __u32 size)
{
	return (__u64)piece->header + size <= piece->end;
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 || protocol == 136;
}

static __always_inline void write_port(struct piece piece, __u32 length, struct event *event)
{
	piece.header += length;
	if (has_ports(event->protocol) && fits(&piece, 4))
		bpf_probe_read_kernel(&event->port, 2, piece.header + 2);
}

/* Write what IP says; tell whether it is IP, and whole. */
static __always_inline int write_destination(struct piece *piece, __u16 ethertype, struct event *event)
{
	__u8 header[40];

	if (ethertype == IPV4 && fits(piece, 20) && !bpf_probe_read_kernel(header, 20, piece->header)) {
		event->address[10] = event->address[11] = 0xff;
		__builtin_memcpy(event->address + 12, header + 16, 4);
		event->protocol = header[9];
		if (!((header[6] & 0x1f) | header[7]))
			write_port(*piece, (header[0] & 15) * 4, event);
		return 1;
	}
	if (ethertype == IPV6 && fits(piece, 40) && !bpf_probe_read_kernel(header, 40, piece->header)) {
		__builtin_memcpy(event->address, header + 24, 16);
		event->protocol = header[6];
		write_port(*piece, 40, event);
		return 1;
	}
	return 0;
}

SEC("tp_btf/queue") int queue(__u64 *context)
{
	void *packet = (void *)context[0], *sock, *device, *net;
	__u64 process = bpf_get_current_pid_tgid() >> 32;
	struct event event = {};
	struct seen_key key;
	struct piece piece;
	__be16 ethertype;

	sock = AT(void *, packet, SKB_SK);
	if (!sock || AT(__u16, sock, SKC_FAMILY) != PACKET || bpf_current_task_under_cgroup(&cgroups, 0) != 1)
		return 0;
	event.family = PACKET;
	event.type = AT(__u16, sock, SK_TYPE);
	device = AT(void *, packet, SKB_DEV);
	if (!device || AT(__u32, device, DEVICE_FLAGS) & LOOPBACK)
		return 0;
	event.interface = AT(__u32, device, DEVICE_IFINDEX);
	piece.header = AT(char *, packet, SKB_HEAD) + AT(__u16, packet, SKB_NETWORK_HEADER);
	piece.end = AT(__u64, packet, SKB_DATA) + AT(__u32, packet, SKB_LEN) - AT(__u32, packet, SKB_DATA_LEN);
	ethertype = AT(__be16, packet, SKB_PROTOCOL);
	if (AT(__u16, device, DEVICE_TYPE) == ETHERNET)  /* the socket may lie, the frame is what the network goes by */
		bpf_probe_read_kernel(&ethertype, 2, piece.header - 2);
	if (!write_destination(&piece, bpf_ntohs(ethertype), &event))  /* who may send raw frames, the policy decides */
		event.port = ethertype;
	event.hook = QUEUE;
	net = AT(void *, sock, SKC_NET);
	if (net)
		event.netns = AT(__u64, net, NET_COOKIE);
	event.cgroup = bpf_get_current_cgroup_id();
	event.started = started();
	write_executable(&event);
	event.cookie = process;
	write_process(&event);
	event.at = bpf_ktime_get_ns();
	key = key_of(&event, process);
	if (is_new(&key, event.at))
		say(&event, &key);
	return 0;
}
