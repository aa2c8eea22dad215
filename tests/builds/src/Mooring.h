// Mooring: the small chat app whose builds the tests and the demo install.
// No SDK header is included anywhere, so that Debian's clang alone can build it; what the app
// needs from the system is declared here and resolved against the stubs beside this folder.
#ifndef MOORING_H
#define MOORING_H

typedef unsigned char byte_t;
typedef unsigned long size_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;

#define NULL ((void *)0)

void *malloc(size_t size);
void free(void *pointer);
void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);
size_t strlen(const char *text);
void abort(void) __attribute__((noreturn));
unsigned int sleep(unsigned int seconds);
int printf(const char *format, ...);

// Store.c: what the phone remembers.
typedef struct {
    uint64_t key;
    uint32_t length;
    byte_t *bytes;
} Store_Record;

int Store_open(const char *path);
int Store_put(uint64_t key, const byte_t *bytes, uint32_t length);
const Store_Record *Store_get(uint64_t key);
void Store_compact(void);

// Login.c
int Login_start(const char *account);
int Login_refreshToken(uint64_t *token);

// Chat.c
typedef struct {
    uint64_t sender;
    uint64_t sent_ms;
    uint32_t kind;
    uint32_t length;
    const byte_t *body;
} Chat_Message;

int Chat_openSession(uint64_t peer);
int Chat_sendMessage(uint64_t peer, const char *text);
int Chat_receiveMessage(const byte_t *frame, uint32_t length, Chat_Message *message);
uint32_t Chat_checksum(const byte_t *bytes, uint32_t length);

// Feed.c
typedef struct {
    uint64_t author;
    uint32_t title_length;
    uint32_t image_width;
    uint32_t image_height;
    const char *title;
    const byte_t *image;
} Feed_Cell;

int Feed_loadPage(uint32_t page, Feed_Cell *cells, uint32_t cells_max);
int Feed_decodeCell(const byte_t *bytes, uint32_t length, Feed_Cell *cell);
uint32_t Feed_measureCell(const Feed_Cell *cell, uint32_t width);
#if MOORING_BUILD >= 141
int Feed_prefetchNext(uint32_t page);
#endif

// Video.c
int Video_openPlayer(const char *address);
uint32_t Video_decodeFrame(const byte_t *bytes, uint32_t length, uint32_t *pixels, uint32_t pixels_max);
void Video_dropLateFrames(uint64_t now_ms);

// Channel.m
void Channel_showList(void);

#endif
