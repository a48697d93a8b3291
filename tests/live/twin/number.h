/* SPDX-License-Identifier: MIT OR Apache-2.0
 * How a process is found in our own pid namespace; the same as airgap_check/kernel/programs/identity.py.
 */
enum { LEVELS = 8 };
#define AT(type, base, offset) (*(type *)((char *)(base) + (offset)))

#ifdef PID_INODE
/* The number of a process in our own pid namespace, which is one of the levels that it has a number on. */
static __always_inline __u32 number(void *pid)
{
	__u32 level;

	if (!pid)
		return 0;
	level = AT(__u32, pid, PID_LEVEL);
#pragma unroll
	for (int each = 0; each < LEVELS; each++) {
		void *namespace;

		if (level < each)
			break;
		namespace = AT(void *, pid, PID_NUMBERS + each * UPID_SIZE + UPID_NS);
		if (!namespace)
			break;
		if (AT(__u32, namespace, PID_NAMESPACE_INUM) == PID_INODE)
			return AT(__u32, pid, PID_NUMBERS + each * UPID_SIZE + UPID_NR);
	}
	return 0;
}
#endif
