/* packets INTERFACE RATE SECONDS: Ethernet frames at a steady rate; every hundredth is a TCP SYN to an address of its
   own, the others carry data of a connection. Prints how many frames, and how many SYNs, the kernel took. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 100, SIZE = 600 };
static unsigned char frames[BATCH][SIZE];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void build(unsigned char *frame, unsigned target, unsigned char flags, int size) {
    static const unsigned char head[] = {
        255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 0,
        0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 0, 0, 0, 0,
        0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0, 255, 255, 0, 0, 0, 0,
    };
    memcpy(frame, head, sizeof head);
    frame[16] = (size - 14) >> 8;
    frame[17] = (size - 14) & 255;
    target = htonl(0xC6120000u + target % 131072); /* 198.18.0.0/15 */
    memcpy(frame + 30, &target, 4);
    frame[47] = flags;
}

int main(int argc, char **argv) {
    if (argc != 4) return 1;
    struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(argv[1])};
    int s = socket(AF_PACKET, SOCK_RAW, 0);
    double rate = atof(argv[2]), seconds = atof(argv[3]), began = now();
    struct iovec parts[BATCH];
    struct mmsghdr batch[BATCH] = {0};
    unsigned long sent = 0, syns = 0;
    if (!where.sll_ifindex || bind(s, (void *)&where, sizeof where)) return 2;
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){frames[i], i ? SIZE : 54};
        batch[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
        build(frames[i], 7, 0x10, SIZE);
    }
    while (now() - began < seconds) {
        if (sent > (now() - began) * rate) continue;
        build(frames[0], syns, 0x02, 54);
        int taken = sendmmsg(s, batch, BATCH, 0);
        if (taken < 0) return 3;
        sent += taken;
        syns += taken > 0;
    }
    printf("%lu %lu\n", sent, syns);
    return 0;
}
