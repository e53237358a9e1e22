/* delay PORT TARGET MILLISECONDS: a proxy on loopback that adds a round trip of so many milliseconds.
 *
 * A new connection is silent for one round trip (its handshake), then every byte is held for half of one in each
 * direction. Bandwidth is not limited: whatever comes is read at once and kept until it is due.
 * One thread; all delays are equal, so what is due next is always the head of one of two queues.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 65536, EVENTS = 256 };

struct pair;
struct chunk { struct chunk *due_next, *next; struct side *to; int64_t due; size_t size, sent; char data[]; };
/* One end of a connection; `out` is what is due and not yet written to it. */
struct side { struct pair *pair; struct side *other; int fd, shut, eof; uint32_t events; struct chunk *out, *last; };
struct pair { struct side client, server; int64_t opens; int held, dead; struct pair *new_next, *next; };

static int epoll, timer;
static int64_t half;
static struct chunk *first_due, *last_due;
static struct pair *first_new, *last_new, *graveyard;

static void die(const char *what) { perror(what); exit(1); }

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void watch(struct side *side, uint32_t events) {
    if (side->events == events) return;
    struct epoll_event event = {.events = events, .data.ptr = side};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, side->fd, &event)) die("epoll_ctl");
    side->events = events;
}

/* A closed pair waits in the graveyard while chunks in the due queue still point to it. */
static void bury(struct pair *pair) {
    if (pair->dead) return;
    pair->dead = 1;
    close(pair->client.fd);
    close(pair->server.fd);
    pair->next = graveyard;
    graveyard = pair;
}

static void sweep(void) {
    struct pair **link = &graveyard;
    while (*link) {
        struct pair *pair = *link;
        if (pair->held) { link = &pair->next; continue; }
        *link = pair->next;
        for (struct side *side = &pair->client; side; side = side == &pair->client ? &pair->server : NULL)
            while (side->out) { struct chunk *chunk = side->out; side->out = chunk->next; free(chunk); }
        free(pair);
    }
}

static void flush(struct side *side) {
    while (side->out) {
        struct chunk *chunk = side->out;
        if (chunk->size == 0) {
            shutdown(side->fd, SHUT_WR);
            side->shut = 1;
        }
        while (chunk->sent < chunk->size) {
            ssize_t count = send(side->fd, chunk->data + chunk->sent, chunk->size - chunk->sent, MSG_NOSIGNAL);
            if (count < 0 && errno == EAGAIN) { watch(side, side->events | EPOLLOUT); return; }
            if (count < 0) { bury(side->pair); return; }
            chunk->sent += (size_t)count;
        }
        side->out = chunk->next;
        free(chunk);
    }
    if (side->shut && side->other->shut) { bury(side->pair); return; }
    watch(side, side->events & ~(uint32_t)EPOLLOUT);
}

static void receive(struct side *from) {
    static char buffer[CHUNK];
    while (!from->eof) {
        ssize_t count = recv(from->fd, buffer, CHUNK, 0);
        if (count < 0 && errno == EAGAIN) return;
        if (count < 0) { bury(from->pair); return; }
        struct chunk *chunk = malloc(sizeof *chunk + (size_t)count);
        if (!chunk) die("malloc");
        *chunk = (struct chunk){.to = from->other, .due = now() + half, .size = (size_t)count};
        memcpy(chunk->data, buffer, (size_t)count);
        if (last_due) last_due->due_next = chunk; else first_due = chunk;
        last_due = chunk;
        from->pair->held++;
        if (count == 0) { from->eof = 1; watch(from, from->events & ~(uint32_t)EPOLLIN); }
    }
}

static void deliver(void) {
    int64_t time = now();
    while (first_new && first_new->opens <= time) {
        struct pair *pair = first_new;
        if (!(first_new = pair->new_next)) last_new = NULL;
        pair->held--;
        if (!pair->dead) watch(&pair->client, pair->client.events | EPOLLIN);
    }
    while (first_due && first_due->due <= time) {
        struct chunk *chunk = first_due;
        struct side *to = chunk->to;
        if (!(first_due = chunk->due_next)) last_due = NULL;
        to->pair->held--;
        if (to->pair->dead) { free(chunk); continue; }
        if (to->out) to->last->next = chunk; else to->out = chunk;
        to->last = chunk;
        if (to->out == chunk) flush(to);
    }
}

static void join(struct side *side, struct pair *pair, struct side *other, int fd, uint32_t events) {
    *side = (struct side){.pair = pair, .other = other, .fd = fd, .events = events};
    struct epoll_event event = {.events = events, .data.ptr = side};
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static void accept_all(int listener, struct sockaddr_in *target) {
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (client < 0) { if (errno == EAGAIN || errno == ECONNABORTED) return; die("accept"); }
        int server = socket(AF_INET, SOCK_STREAM, 0);
        if (server < 0) die("socket");
        if (connect(server, (struct sockaddr *)target, sizeof *target)) { close(client); close(server); continue; }
        fcntl(server, F_SETFL, O_NONBLOCK);
        struct pair *pair = calloc(1, sizeof *pair);
        if (!pair) die("calloc");
        pair->opens = now() + 2 * half;
        pair->held = 1;
        if (last_new) last_new->new_next = pair; else first_new = pair;
        last_new = pair;
        join(&pair->client, pair, &pair->server, client, 0);
        join(&pair->server, pair, &pair->client, server, EPOLLIN);
    }
}

static void arm(void) {
    int64_t due = 0;
    if (first_due) due = first_due->due;
    if (first_new && (!due || first_new->opens < due)) due = first_new->opens;
    struct itimerspec spec = {.it_value = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

int main(int count, char **arguments) {
    if (count != 4) { fputs("delay PORT TARGET MILLISECONDS\n", stderr); return 2; }
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))}, target = here;
    here.sin_addr.s_addr = target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.sin_port = htons((uint16_t)atoi(arguments[2]));
    half = (int64_t)(atof(arguments[3]) * 1e6 / 2);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 4096)) die("bind");
    epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener}, events[EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    event.data.ptr = &timer;
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        for (int number = 0; number < ready; number++) {
            void *what = events[number].data.ptr;
            if (what == &listener) { accept_all(listener, &target); continue; }
            if (what == &timer) { uint64_t times; (void)!read(timer, &times, sizeof times); continue; }
            struct side *side = what;
            if (side->pair->dead) continue;
            if (events[number].events & EPOLLERR) { bury(side->pair); continue; }
            if (events[number].events & EPOLLOUT) flush(side);
            if (side->pair->dead) continue;
            if (events[number].events & EPOLLIN) receive(side);
            else if (events[number].events & EPOLLHUP && side->eof && side->shut) bury(side->pair);
        }
        deliver();
        sweep();
        arm();
    }
}
