/* attempts KIND ADDRESS PORT COUNT: nanoseconds that one attempt takes, on standard output.
   KIND: refused, accepted (TCP connect and close; the listener is ours), udp (sendto on one socket). */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static int listener(const struct sockaddr_in *where) {
    int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (const void *)where, sizeof *where) || listen(s, 4096)) exit(2);
    return s;
}

static void connect_once(const struct sockaddr_in *where, int accepting) {
    struct linger gone = {1, 0}; /* a reset: no TIME-WAIT, so that ports do not run out */
    int s = socket(AF_INET, SOCK_STREAM, 0);
    int failed = connect(s, (const void *)where, sizeof *where);
    if (accepting >= 0) {
        if (failed) exit(3);
        setsockopt(s, SOL_SOCKET, SO_LINGER, &gone, sizeof gone);
        close(accept(accepting, NULL, NULL));
    }
    close(s);
}

int main(int argc, char **argv) {
    if (argc != 5) return 1;
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    if (inet_pton(AF_INET, argv[2], &where.sin_addr) != 1) return 1;
    int count = atoi(argv[4]), udp = socket(AF_INET, SOCK_DGRAM, 0);
    int accepting = strcmp(argv[1], "accepted") ? -1 : listener(&where);
    double began = now();
    for (int i = 0; i < count; i++) {
        if (!strcmp(argv[1], "udp"))
            sendto(udp, "x", 1, 0, (const void *)&where, sizeof where);
        else
            connect_once(&where, accepting);
    }
    printf("%.1f\n", (now() - began) / count);
    return 0;
}
