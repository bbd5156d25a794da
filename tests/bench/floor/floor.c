/* The floor: the least that a relay from Redis to WebSockets can do on this kernel.
 *
 *   floor each|joined <port> <redis port>
 *
 * It accepts WebSocket handshakes on GET /ws?session=<name>, subscribes to hints:<name> when the first
 * client of a session comes, says {"type":"connection"} once Redis has confirmed, and forwards every
 * publication. "each" makes one send() for each delivery; "joined" makes one for each connection and
 * wake-up, with everything in it that one read from Redis brought. No positions, no recovery, no
 * heartbeats, no metrics. What a socket does not take is kept until it does: nothing is lost.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SESSIONS (1 << 16)
#define EVENTS 512
#define REQUEST_BYTES 2048

struct bytes {
  char *data;
  size_t length, room;
};

struct session;

struct client {
  int fd;
  struct session *session; /* NULL until the handshake is done */
  size_t index;            /* where it stands in its session */
  struct bytes unsent;
  size_t sent;
  char *request; /* only during the handshake */
  size_t request_length;
};

struct session {
  char *channel;
  size_t channel_length;
  struct client **clients;
  size_t count, room;
  int confirmed;
  struct bytes batch;
  struct session *next, *next_touched;
  int touched;
};

static struct session *sessions[SESSIONS];
static struct session *touched_sessions;
static struct client **by_fd;
static struct bytes redis_in, redis_out;
static int loop, redis_fd, joined;
static char scratch[256 * 1024];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void append(struct bytes *to, const void *data, size_t length) {
  if (to->length + length > to->room) {
    to->room = (to->length + length) * 2;
    to->data = realloc(to->data, to->room);
    if (!to->data) die("realloc");
  }
  memcpy(to->data + to->length, data, length);
  to->length += length;
}

/* SHA-1 (FIPS 180-4) of less than 120 bytes, and base64 (RFC 4648): all that a handshake needs. */

static uint32_t rotated(uint32_t word, int by) { return word << by | word >> (32 - by); }

static void sha1(const unsigned char *data, size_t length, unsigned char digest[20]) {
  uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  unsigned char padded[128] = {0};
  size_t blocks = length < 56 ? 1 : 2;
  memcpy(padded, data, length);
  padded[length] = 0x80;
  for (int i = 0; i < 8; i++) padded[blocks * 64 - 1 - i] = (uint64_t)length * 8 >> 8 * i & 0xff;
  for (size_t block = 0; block < blocks; block++) {
    uint32_t word[80];
    for (int i = 0; i < 16; i++) {
      uint32_t big_endian;
      memcpy(&big_endian, padded + block * 64 + i * 4, 4);
      word[i] = ntohl(big_endian);
    }
    for (int i = 16; i < 80; i++)
      word[i] = rotated(word[i - 3] ^ word[i - 8] ^ word[i - 14] ^ word[i - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 80; i++) {
      uint32_t mix, constant;
      if (i < 20) mix = (b & c) | (~b & d), constant = 0x5a827999;
      else if (i < 40) mix = b ^ c ^ d, constant = 0x6ed9eba1;
      else if (i < 60) mix = (b & c) | (b & d) | (c & d), constant = 0x8f1bbcdc;
      else mix = b ^ c ^ d, constant = 0xca62c1d6;
      uint32_t next = rotated(a, 5) + mix + e + constant + word[i];
      e = d, d = c, c = rotated(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
  }
  for (int i = 0; i < 5; i++) {
    uint32_t big_endian = htonl(state[i]);
    memcpy(digest + i * 4, &big_endian, 4);
  }
}

static void base64(const unsigned char digest[20], char text[29]) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int i = 0, o = 0; i < 21; i += 3, o += 4) {
    uint32_t three = digest[i] << 16 | digest[i + 1] << 8 | (i + 2 < 20 ? digest[i + 2] : 0);
    for (int j = 0; j < 4; j++) text[o + j] = digits[three >> (18 - 6 * j) & 63];
  }
  text[27] = '=';
  text[28] = 0;
}

/* Clients */

static void watch(int operation, int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(loop, operation, fd, &event)) die("epoll_ctl");
}

static void drop(struct client *client) {
  struct session *session = client->session;
  if (session) {
    session->clients[client->index] = session->clients[--session->count];
    session->clients[client->index]->index = client->index;
  }
  by_fd[client->fd] = NULL;
  close(client->fd);
  free(client->unsent.data);
  free(client->request);
  free(client);
}

static void deliver(struct client *client, const char *data, size_t length) {
  if (client->unsent.length) {
    append(&client->unsent, data, length);
    return;
  }
  ssize_t sent = send(client->fd, data, length, MSG_NOSIGNAL);
  if (sent == (ssize_t)length) return;
  if (sent < 0) {
    /* A broken one is noticed, and dropped, when epoll reports it. */
    if (errno != EAGAIN && errno != EWOULDBLOCK) return;
    sent = 0;
  }
  append(&client->unsent, data + sent, length - sent);
  client->sent = 0;
  watch(EPOLL_CTL_MOD, client->fd, EPOLLIN | EPOLLOUT);
}

static void deliver_rest(struct client *client) {
  ssize_t sent = send(client->fd, client->unsent.data + client->sent,
                      client->unsent.length - client->sent, MSG_NOSIGNAL);
  if (sent > 0) client->sent += sent;
  if (client->sent < client->unsent.length) return;
  free(client->unsent.data);
  client->unsent = (struct bytes){0};
  client->sent = 0;
  watch(EPOLL_CTL_MOD, client->fd, EPOLLIN);
}

static size_t frame_head(size_t length, unsigned char head[10]) {
  head[0] = 0x81;
  if (length < 126) {
    head[1] = length;
    return 2;
  }
  if (length < 65536) {
    head[1] = 126, head[2] = length >> 8, head[3] = length;
    return 4;
  }
  head[1] = 127;
  for (int i = 0; i < 8; i++) head[2 + i] = (uint64_t)length >> (56 - 8 * i);
  return 10;
}

static void welcome(struct client *client) {
  static const char text[] = "{\"type\":\"connection\"}";
  char frame[sizeof text + 1] = {(char)0x81, sizeof text - 1};
  memcpy(frame + 2, text, sizeof text - 1);
  deliver(client, frame, sizeof text + 1);
}

/* Redis */

static void redis_flush(void) {
  size_t at = 0;
  while (at < redis_out.length) {
    ssize_t sent = send(redis_fd, redis_out.data + at, redis_out.length - at, MSG_NOSIGNAL);
    if (sent < 0) die("send to Redis");
    at += sent;
  }
  redis_out.length = 0;
}

static struct session *find(const char *channel, size_t length, int make) {
  uint64_t hash = 14695981039346656037u; /* FNV-1a */
  for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)channel[i]) * 1099511628211u;
  struct session **place = &sessions[hash % SESSIONS];
  for (struct session *session = *place; session; session = session->next)
    if (session->channel_length == length && !memcmp(session->channel, channel, length))
      return session;
  if (!make) return NULL;
  struct session *session = calloc(1, sizeof *session);
  session->channel = strndup(channel, length);
  session->channel_length = length;
  session->next = *place;
  *place = session;
  char head[64];
  append(&redis_out, head, sprintf(head, "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n", length));
  append(&redis_out, channel, length);
  append(&redis_out, "\r\n", 2);
  return session;
}

static void publish(struct session *session, const char *payload, size_t length) {
  unsigned char head[10];
  size_t head_length = frame_head(length, head);
  if (joined) {
    append(&session->batch, head, head_length);
    append(&session->batch, payload, length);
    if (!session->touched) {
      session->touched = 1;
      session->next_touched = touched_sessions;
      touched_sessions = session;
    }
    return;
  }
  static struct bytes frame;
  frame.length = 0;
  append(&frame, head, head_length);
  append(&frame, payload, length);
  for (size_t i = 0; i < session->count; i++)
    deliver(session->clients[i], frame.data, frame.length);
}

static void flush_batches(void) {
  while (touched_sessions) {
    struct session *session = touched_sessions;
    touched_sessions = session->next_touched;
    session->touched = 0;
    for (size_t i = 0; i < session->count; i++)
      deliver(session->clients[i], session->batch.data, session->batch.length);
    session->batch.length = 0;
  }
}

/* Reads "<mark><number>\r\n" at *at; 0 when it is not all there. */
static int number(char mark, size_t *at, long *value) {
  char *start = redis_in.data + *at;
  char *end = memchr(start, '\n', redis_in.length - *at);
  if (!end) return 0;
  if (*start != mark) die("Redis sent something unexpected");
  *value = strtol(start + 1, NULL, 10);
  *at = end - redis_in.data + 1;
  return 1;
}

static int bulk(size_t *at, char **data, size_t *length) {
  long value;
  if (!number('$', at, &value) || redis_in.length - *at < (size_t)value + 2) return 0;
  *data = redis_in.data + *at;
  *length = value;
  *at += value + 2;
  return 1;
}

static void redis_readable(void) {
  ssize_t got = recv(redis_fd, scratch, sizeof scratch, 0);
  if (got <= 0) die("Redis is gone");
  append(&redis_in, scratch, got);
  size_t done = 0;
  for (;;) {
    size_t at = done, kind_length, channel_length, length;
    char *kind, *channel, *payload;
    long parts;
    if (at == redis_in.length || !number('*', &at, &parts) || !bulk(&at, &kind, &kind_length) ||
        !bulk(&at, &channel, &channel_length))
      break;
    struct session *session = find(channel, channel_length, 0);
    if (kind[0] == 'm') {
      if (!bulk(&at, &payload, &length)) break;
      if (session) publish(session, payload, length);
    } else {
      long subscriptions;
      if (at == redis_in.length || !number(':', &at, &subscriptions)) break;
      session->confirmed = 1;
      for (size_t i = 0; i < session->count; i++) welcome(session->clients[i]);
    }
    done = at;
  }
  memmove(redis_in.data, redis_in.data + done, redis_in.length - done);
  redis_in.length -= done;
  flush_batches();
}

/* Handshake (RFC 6455 section 4.2) */

static void join(struct client *client, const char *name, size_t length) {
  char channel[256];
  int channel_length = snprintf(channel, sizeof channel, "hints:%.*s", (int)length, name);
  struct session *session = find(channel, channel_length, 1);
  if (session->count == session->room) {
    session->room = session->room ? session->room * 2 : 2;
    session->clients = realloc(session->clients, session->room * sizeof *session->clients);
  }
  client->session = session;
  client->index = session->count;
  session->clients[session->count++] = client;
  if (session->confirmed) welcome(client);
}

static void handshake(struct client *client) {
  ssize_t got = recv(client->fd, client->request + client->request_length,
                     REQUEST_BYTES - 1 - client->request_length, 0);
  if (got <= 0) {
    if (got == 0 || errno != EAGAIN) drop(client);
    return;
  }
  client->request_length += got;
  client->request[client->request_length] = 0;
  if (!strstr(client->request, "\r\n\r\n")) {
    if (client->request_length == REQUEST_BYTES - 1) drop(client);
    return;
  }
  char *name = strstr(client->request, "session=");
  char *key = strcasestr(client->request, "\r\nSec-WebSocket-Key:");
  if (!name || !key) {
    drop(client);
    return;
  }
  name += 8;
  key += 20;
  key += strspn(key, " ");
  unsigned char proof[100], digest[20];
  size_t key_length = strcspn(key, " \r");
  if (key_length > 60) {
    drop(client);
    return;
  }
  memcpy(proof, key, key_length);
  memcpy(proof + key_length, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
  sha1(proof, key_length + 36, digest);
  char accept_text[29], answer[256];
  base64(digest, accept_text);
  int length = sprintf(answer,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                       accept_text);
  deliver(client, answer, length);
  join(client, name, strcspn(name, "& \r"));
  free(client->request);
  client->request = NULL;
}

static void client_event(struct client *client, uint32_t events) {
  if (client->request) {
    handshake(client);
    return;
  }
  if (events & EPOLLOUT) deliver_rest(client);
  if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
    ssize_t got = recv(client->fd, scratch, sizeof scratch, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) drop(client);
  }
}

static void accept_all(int listener) {
  for (;;) {
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct client *client = calloc(1, sizeof *client);
    client->fd = fd;
    client->request = malloc(REQUEST_BYTES);
    by_fd[fd] = client;
    watch(EPOLL_CTL_ADD, fd, EPOLLIN);
  }
}

int main(int count, char **words) {
  if (count != 4) return fprintf(stderr, "floor each|joined <port> <redis port>\n"), 2;
  joined = !strcmp(words[1], "joined");
  signal(SIGPIPE, SIG_IGN);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  by_fd = calloc(limit.rlim_cur, sizeof *by_fd);
  loop = epoll_create1(EPOLL_CLOEXEC);

  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1;
  redis_fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_port = htons(atoi(words[3]));
  if (connect(redis_fd, (struct sockaddr *)&address, sizeof address)) die("connect to Redis");
  setsockopt(redis_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  watch(EPOLL_CTL_ADD, redis_fd, EPOLLIN);

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  address.sin_port = htons(atoi(words[2]));
  if (bind(listener, (struct sockaddr *)&address, sizeof address)) die("bind");
  if (listen(listener, 2048)) die("listen");
  watch(EPOLL_CTL_ADD, listener, EPOLLIN);

  for (;;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(loop, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) accept_all(listener);
      else if (fd == redis_fd) redis_readable();
      else if (by_fd[fd]) client_event(by_fd[fd], events[i].events);
    }
    if (redis_out.length) redis_flush();
  }
}
