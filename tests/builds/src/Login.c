// Who the user is.
#include "Mooring.h"

#define TOKEN_KEY 0x6c6f67696eULL

int Login_refreshToken(uint64_t *token) {
    const Store_Record *record = Store_get(TOKEN_KEY);
    uint64_t fresh = 0x9e3779b97f4a7c15ULL;
    if (record != NULL && record->length == sizeof fresh) {
        memcpy(&fresh, record->bytes, sizeof fresh);
        fresh = fresh * 6364136223846793005ULL + 1442695040888963407ULL;
    }
    *token = fresh;
    return Store_put(TOKEN_KEY, (const byte_t *)&fresh, sizeof fresh);
}

int Login_start(const char *account) {
    uint64_t token = 0;
    if (account == NULL || strlen(account) < 3) {
        return -1;
    }
    if (Login_refreshToken(&token) != 0) {
        return -1;
    }
    printf("login: %s is in with token %llx\n", account, token);
    return 0;
}
