// The feed: pages of cells with a title and an image.
#include "Mooring.h"

#define CELL_HEADER 20
#define PAGE_BYTES 512

int Feed_decodeCell(const byte_t *bytes, uint32_t length, Feed_Cell *cell) {
    if (length < CELL_HEADER) {
        return -1;
    }
    memcpy(&cell->author, bytes, sizeof cell->author);
    memcpy(&cell->title_length, bytes + 8, sizeof cell->title_length);
    memcpy(&cell->image_width, bytes + 12, sizeof cell->image_width);
    memcpy(&cell->image_height, bytes + 16, sizeof cell->image_height);
#if MOORING_BUILD < 141
    // Build 141 lost this check: a title longer than its cell reads past the end of the page.
    if (cell->title_length > length - CELL_HEADER) {
        return -1;
    }
#endif
    cell->title = (const char *)bytes + CELL_HEADER;
    cell->image = bytes + CELL_HEADER + cell->title_length;
    return cell->image[0] == 0xff ? 1 : 0;
}

uint32_t Feed_measureCell(const Feed_Cell *cell, uint32_t width) {
    uint32_t lines = 1;
    uint32_t column = 0;
    for (uint32_t index = 0; index < cell->title_length; index++) {
        column += cell->title[index] == ' ' ? 5 : 9;
        if (column >= width) {
            lines++;
            column = 0;
        }
    }
    uint32_t image_height = cell->image_width == 0 ? 0 : cell->image_height * width / cell->image_width;
    return lines * 22 + image_height;
}

int Feed_loadPage(uint32_t page, Feed_Cell *cells, uint32_t cells_max) {
    byte_t *bytes = malloc(PAGE_BYTES);
    if (bytes == NULL) {
        return -1;
    }
    memset(bytes, (int)page, PAGE_BYTES);
    uint32_t decoded = 0;
    for (uint32_t offset = 0; offset + 64 <= PAGE_BYTES && decoded < cells_max; offset += 64) {
        if (Feed_decodeCell(bytes + offset, 64, &cells[decoded]) >= 0) {
            decoded++;
        }
    }
    free(bytes);
    return (int)decoded;
}

#if MOORING_BUILD >= 141
int Feed_prefetchNext(uint32_t page) {
    Feed_Cell ahead[4];
    memset(ahead, 0, sizeof ahead);
    int loaded = Feed_loadPage(page + 1, ahead, 4);
    uint32_t height = 0;
    for (int index = 0; index < loaded; index++) {
        height += Feed_measureCell(&ahead[index], 390);
    }
    printf("feed: prefetched %d cells, %u points high\n", loaded, height);
    return loaded;
}
#endif
