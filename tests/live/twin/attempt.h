/* SPDX-License-Identifier: MIT OR Apache-2.0
 * What the twins of all programs share: the maps, the event, and what is done with an attempt that nobody approved.
 *
 * The twins say in C what airgap_check/kernel/programs assembles in Python. They exist to be read beside it, and to be
 * compared with it over the same traffic; nothing of them is installed. Their maps are made by the test, which puts
 * the descriptors where the names stand.
 *
 * PID_INODE names our pid namespace where it is not the initial one; GROUP_LEADER, START_BOOTTIME and others say where
 * the running kernel keeps what they are named after.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "number.h"

#define REPLY 1
#define FROM_DHCP_CLIENT 4
#define SOURCE_ROUTED 8
#define EVERYTHING 1
enum { LOST, UNCOUNTED };

extern char events, seen, networks, ports, uses_made, counters, peers;

struct event {
	__u64 at;
	__u32 pid, tid, uid;
	union {
		__u32 local_port, interface;
	};
	__u64 cgroup, netns, cookie;
	__u8 address[16];
	__be16 port;
	__u8 protocol, hook, family, type;
	__u16 flags;
	__u64 started, executable;
	__u32 device, zero;
	char command[16];
};

struct seen_key {
	__u64 cgroup, netns, process;
	__u8 address[16];
	__be16 port;
	__u8 protocol, hook, family, type;
	__u16 flags;
	__u64 started, executable;
	__u32 device, zero;
};

struct seen_value {
	__u64 count, first, last;
};

struct prefix {
	__u32 length;
	__u8 address[16];
};

struct port {
	__be16 number;
	__u8 protocol, zero;
};

struct use {
	__u64 classes, cgroup;
};

static __always_inline void increment(void *map, void *key)
{
	__u64 *count = bpf_map_lookup_elem(map, key);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* Which classes approve the destination: EVERYTHING, some others, or none. */
static __always_inline __u64 approved(struct event *event)
{
	struct prefix prefix = {.length = 128};
	struct port port = {event->port, event->protocol, 0};
	__u64 *of_address, *of_port;

	__builtin_memcpy(prefix.address, event->address, 16);
	of_address = bpf_map_lookup_elem(&networks, &prefix);
	if (!of_address)
		return 0;
	if (*of_address & EVERYTHING)
		return EVERYTHING;
	of_port = bpf_map_lookup_elem(&ports, &port);
	if (!of_port) {
		port.number = 0;
		of_port = bpf_map_lookup_elem(&ports, &port);
	}
	return of_port ? *of_address & *of_port : 0;
}

static __always_inline void count_use(__u64 classes, __u64 cgroup)
{
	struct use use = {classes, cgroup};
	__u64 one = 1;
	__u32 uncounted = UNCOUNTED;

	if (!bpf_map_update_elem(&uses_made, &use, &one, BPF_NOEXIST))
		return;
	if (bpf_map_lookup_elem(&uses_made, &use))
		increment(&uses_made, &use);
	else
		increment(&counters, &uncounted);
}

/* When the process at work began; its first thread began with it. */
static __always_inline __u64 started(void)
{
	char *task = (char *)bpf_get_current_task_btf();
	char *leader = *(char **)(task + GROUP_LEADER);

	return *(__u64 *)(leader + START_BOOTTIME);
}

/* The program that the process at work runs. */
static __always_inline void write_executable(struct event *event)
{
	void *at = AT(void *, bpf_get_current_task_btf(), TASK_MM), *filesystem;

	at = at ? AT(void *, at, MM_EXE_FILE) : 0;
	at = at ? AT(void *, at, FILE_INODE) : 0;
	if (!at)
		return;
	event->executable = AT(__u64, at, INODE_NUMBER);
	filesystem = AT(void *, at, INODE_FILESYSTEM);
	if (filesystem)
		event->device = AT(__u32, filesystem, FILESYSTEM_DEVICE);
}

static __always_inline void write_process(struct event *event)
{
#ifdef PID_INODE
	void *task = bpf_get_current_task_btf();

	event->tid = number(AT(void *, task, THREAD_PID));
	event->pid = number(AT(void *, AT(void *, task, GROUP_LEADER), THREAD_PID));
#else
	__u64 both = bpf_get_current_pid_tgid();

	event->pid = both >> 32;
	event->tid = both;
#endif
	event->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(event->command, sizeof(event->command));
}

/* Count what was seen before; else say it. Of an event that the ring does not take nothing is remembered. */
static __always_inline int is_new(struct seen_key *key, __u64 now)
{
	struct seen_value first = {1, now, now}, *before = bpf_map_lookup_elem(&seen, key);

	if (!before) {
		if (!bpf_map_update_elem(&seen, key, &first, BPF_NOEXIST))
			return 1;
		before = bpf_map_lookup_elem(&seen, key);
		if (!before)
			return 1;
	}
	before->last = now;
	__sync_fetch_and_add(&before->count, 1);
	return 0;
}

static __always_inline void say(struct event *event, struct seen_key *key)
{
	__u32 lost = LOST;

	if (bpf_ringbuf_output(&events, event, sizeof(*event), 0)) {
		bpf_map_delete_elem(&seen, key);
		increment(&counters, &lost);
	}
}

static __always_inline struct seen_key key_of(struct event *event, __u64 process)
{
	struct seen_key key = {
		event->cgroup, event->netns, process, {}, event->port, event->protocol,
		event->hook, event->family, event->type, event->flags, event->started,
		event->executable, event->device,
	};

	__builtin_memcpy(key.address, event->address, 16);
	return key;
}

char _license[] SEC("license") = "Dual MIT/GPL";
