/* A TCP proxy that hands every byte on a fixed time after it came, in both directions, however fast they come.
 *
 * proxy LISTEN_PORT TARGET_PORT DELAY_US       DELAY_US is for one direction: a round trip gains twice that.
 *
 * One thread, ppoll(2), a queue of chunks for each direction. In C, because timers of Node count whole milliseconds,
 * and a proxy in Python would itself be the slowest part. On loopback only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <time.h>
#include <unistd.h>

#define MAX_SIDES 2048           /* two per connection */
#define CHUNK 65536
#define MOST_QUEUED (64 << 20)   /* bytes one direction may hold; beyond, the sender is not read */

struct chunk { struct chunk *next; int64_t due; size_t length, sent; char bytes[]; };

/* One end of a connection: what is queued here is to be written to it. */
struct side { int fd, other, ended; struct chunk *first, **last; size_t queued; };

static struct side sides[MAX_SIDES];
static int used;

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void fail(const char *what) { perror(what); exit(1); }

static void prepare(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static int free_side(int from) {
    for (int i = from; i < MAX_SIDES; i++) if (i >= used || sides[i].fd < 0) return i;
    return -1;
}

static void hang_up(int i) {
    struct side *s = &sides[i];
    close(s->fd);
    s->fd = -1;
    while (s->first) { struct chunk *c = s->first; s->first = c->next; free(c); }
}

static void accept_one(int listener, int target) {
    int in = accept(listener, NULL, NULL), out;
    if (in < 0) return;
    struct sockaddr_in a = loopback(target);
    if ((out = socket(AF_INET, SOCK_STREAM, 0)) < 0 || connect(out, (void *)&a, sizeof a)) { close(in); if (out >= 0) close(out); return; }
    int i = free_side(0), j = i < 0 ? -1 : free_side(i + 1);
    if (j < 0) { close(in); close(out); return; }
    prepare(in);
    prepare(out);
    sides[i] = (struct side){.fd = in, .other = j};
    sides[j] = (struct side){.fd = out, .other = i};
    sides[i].last = &sides[i].first;
    sides[j].last = &sides[j].first;
    if (j >= used) used = j + 1;
}

/* Read what came from side i and queue it for the other one. */
static void take(int i, int64_t delay) {
    static char buffer[CHUNK];
    ssize_t n = read(sides[i].fd, buffer, sizeof buffer);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { sides[i].ended = 1; return; }
    struct side *to = &sides[sides[i].other];
    struct chunk *c = malloc(sizeof *c + n);
    if (!c) fail("malloc");
    *c = (struct chunk){.due = now_us() + delay, .length = n};
    memcpy(c->bytes, buffer, n);
    *to->last = c;
    to->last = &c->next;
    to->queued += n;
}

/* Write what is due to side i; -1 when it hung up. */
static int give(int i, int64_t now) {
    struct side *s = &sides[i];
    while (s->first && s->first->due <= now) {
        struct chunk *c = s->first;
        ssize_t n = write(s->fd, c->bytes + c->sent, c->length - c->sent);
        if (n < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
        s->queued -= n;
        if ((c->sent += n) < c->length) return 0;
        if (!(s->first = c->next)) s->last = &s->first;
        free(c);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 4) { fprintf(stderr, "usage: proxy LISTEN_PORT TARGET_PORT DELAY_US\n"); return 2; }
    int target = atoi(argv[2]), one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    int64_t delay = atoll(argv[3]);
    struct sockaddr_in a = loopback(atoi(argv[1]));
    signal(SIGPIPE, SIG_IGN);
#ifdef __linux__
    prctl(PR_SET_TIMERSLACK, 1000UL);    /* ns; the default of 50 us would add 10 % */
#endif
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listener < 0 || bind(listener, (void *)&a, sizeof a) || listen(listener, 512)) fail("listen");
    fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK);

    static struct pollfd polled[MAX_SIDES + 1];
    static int side_of[MAX_SIDES + 1];
    for (;;) {
        int n = 1;
        int64_t now = now_us(), next = now + 1000000;
        polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (int i = 0; i < used; i++) {
            struct side *s = &sides[i];
            if (s->fd < 0) continue;
            short events = 0;
            if (!s->ended && sides[s->other].queued < MOST_QUEUED) events |= POLLIN;
            if (s->first && s->first->due <= now) events |= POLLOUT;
            else if (s->first && s->first->due < next) next = s->first->due;
            polled[n] = (struct pollfd){.fd = s->fd, .events = events};
            side_of[n++] = i;
        }
        int64_t wait = next - now;
        struct timespec timeout = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
        if (ppoll(polled, n, &timeout, NULL) < 0 && errno != EINTR) fail("ppoll");
        for (int k = 1; k < n; k++) {
            int i = side_of[k];
            if (sides[i].fd >= 0 && polled[k].revents & (POLLIN | POLLHUP | POLLERR)) take(i, delay);
        }
        now = now_us();
        for (int i = 0; i < used; i++) {
            if (sides[i].fd < 0) continue;
            int j = sides[i].other;
            int gone = give(i, now) < 0;
            /* One end has closed, and what it sent before is delivered: close the other. */
            if (gone || (sides[j].ended && !sides[i].first)) { hang_up(i); hang_up(j); }
        }
        if (polled[0].revents & POLLIN) accept_one(listener, target);
    }
}
