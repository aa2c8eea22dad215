// Sessions with other people, one frame a message.
#include "Mooring.h"

#define FRAME_HEADER 24
#define MESSAGE_MAX 4096

uint32_t Chat_checksum(const byte_t *bytes, uint32_t length) {
    uint32_t sum = 2166136261u;
    for (uint32_t index = 0; index < length; index++) {
        sum = (sum ^ bytes[index]) * 16777619u;
    }
    return sum;
}

int Chat_openSession(uint64_t peer) {
    byte_t hello[16];
    memset(hello, 0, sizeof hello);
    memcpy(hello, &peer, sizeof peer);
    uint32_t sum = Chat_checksum(hello, sizeof hello);
    return Store_put(peer, hello, sizeof hello) == 0 && sum != 0 ? 0 : -1;
}

int Chat_sendMessage(uint64_t peer, const char *text) {
    size_t length = strlen(text);
    if (length > MESSAGE_MAX) {
        return -1;
    }
    byte_t *frame = malloc(FRAME_HEADER + length);
    if (frame == NULL) {
        return -1;
    }
    uint32_t sum = Chat_checksum((const byte_t *)text, (uint32_t)length);
    memset(frame, 0, FRAME_HEADER);
    memcpy(frame, &peer, sizeof peer);
    memcpy(frame + 16, &sum, sizeof sum);
    memcpy(frame + FRAME_HEADER, text, length);
    int stored = Store_put(peer ^ sum, frame, (uint32_t)(FRAME_HEADER + length));
    free(frame);
    return stored;
}

int Chat_receiveMessage(const byte_t *frame, uint32_t length, Chat_Message *message) {
    if (length < FRAME_HEADER) {
        return -1;
    }
    memcpy(&message->sender, frame, sizeof message->sender);
    memcpy(&message->sent_ms, frame + 8, sizeof message->sent_ms);
    uint32_t expected = 0;
    memcpy(&expected, frame + 16, sizeof expected);
    memcpy(&message->kind, frame + 20, sizeof message->kind);
    message->length = length - FRAME_HEADER;
    message->body = frame + FRAME_HEADER;
    return Chat_checksum(message->body, message->length) == expected ? 0 : -1;
}
