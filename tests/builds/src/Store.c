// What the phone remembers: a small table of records by key.
#include "Mooring.h"

#define RECORDS_MAX 64

static Store_Record records[RECORDS_MAX];
static uint32_t records_used;

int Store_open(const char *path) {
    if (path == NULL || strlen(path) == 0) {
        return -1;
    }
    memset(records, 0, sizeof records);
    records_used = 0;
    return 0;
}

static Store_Record *Store_findSlot(uint64_t key) {
    for (uint32_t index = 0; index < records_used; index++) {
        if (records[index].key == key) {
            return &records[index];
        }
    }
    return records_used < RECORDS_MAX ? &records[records_used++] : NULL;
}

int Store_put(uint64_t key, const byte_t *bytes, uint32_t length) {
    Store_Record *record = Store_findSlot(key);
    if (record == NULL) {
        return -1;
    }
    free(record->bytes);
    record->bytes = malloc(length);
    if (record->bytes == NULL) {
        return -1;
    }
    memcpy(record->bytes, bytes, length);
    record->key = key;
    record->length = length;
    return 0;
}

const Store_Record *Store_get(uint64_t key) {
    for (uint32_t index = 0; index < records_used; index++) {
        if (records[index].key == key) {
            return &records[index];
        }
    }
    return NULL;
}

void Store_compact(void) {
    uint32_t kept = 0;
    for (uint32_t index = 0; index < records_used; index++) {
        if (records[index].length != 0) {
            records[kept++] = records[index];
        }
    }
    records_used = kept;
}
