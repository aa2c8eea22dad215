// Short videos: run-length coded frames and a queue that sheds what is late.
#include "Mooring.h"

#define QUEUE_MAX 8

static uint64_t due_ms[QUEUE_MAX];
static uint32_t queued;

int Video_openPlayer(const char *address) {
    memset(due_ms, 0, sizeof due_ms);
    queued = 0;
    for (uint32_t index = 0; address[index] != 0; index++) {
        if (address[index] == ':') {
            return 0;
        }
    }
    return -1;
}

uint32_t Video_decodeFrame(const byte_t *bytes, uint32_t length, uint32_t *pixels, uint32_t pixels_max) {
    uint32_t written = 0;
    for (uint32_t index = 0; index + 1 < length; index += 2) {
        for (uint32_t run = 0; run < bytes[index] && written < pixels_max; run++) {
            pixels[written++] = 0xff000000u | (uint32_t)bytes[index + 1] * 0x010101u;
        }
    }
    if (queued < QUEUE_MAX) {
        due_ms[queued++] = written;
    }
    return written;
}

void Video_dropLateFrames(uint64_t now_ms) {
    uint32_t kept = 0;
    for (uint32_t index = 0; index < queued; index++) {
        if (due_ms[index] >= now_ms) {
            due_ms[kept++] = due_ms[index];
        }
    }
    queued = kept;
}
