// The list of channels, in Objective-C, so that the build also has method names to symbolicate.
#include "Mooring.h"

__attribute__((objc_root_class))
@interface MORChannelList
+ (void)reloadWithCount:(uint32_t)count;
+ (uint32_t)heightOfRow:(uint32_t)row;
@end

static uint32_t unread[16];

@implementation MORChannelList

+ (void)reloadWithCount:(uint32_t)count {
    for (uint32_t row = 0; row < count && row < 16; row++) {
        unread[row] = (row * 7 + 3) % 5;
    }
    printf("channels: %u rows, %u points high\n", count, [MORChannelList heightOfRow:0] * count);
}

+ (uint32_t)heightOfRow:(uint32_t)row {
    return row < 16 && unread[row] > 0 ? 72 : 56;
}

@end

void Channel_showList(void) {
    [MORChannelList reloadWithCount:12];
}
