// The app's start and its main flow: login, chat, channels, feed, short video.
#include "Mooring.h"

static void App_runMainFlow(void) {
    Feed_Cell cells[8];
    uint32_t pixels[64];
    const byte_t frame[] = {4, 0x20, 8, 0x40, 16, 0x80};
    Chat_Message message;

    memset(cells, 0, sizeof cells);
    Chat_openSession(7);
    Chat_sendMessage(7, "hold the door");
    Chat_receiveMessage(frame, sizeof frame, &message);
    Channel_showList();
    int loaded = Feed_loadPage(0, cells, 8);
    for (int index = 0; index < loaded; index++) {
        Feed_measureCell(&cells[index], 390);
    }
#if MOORING_BUILD >= 141
    Feed_prefetchNext(0);
#endif
    Video_openPlayer("demo:boat");
    Video_decodeFrame(frame, sizeof frame, pixels, 64);
    Video_dropLateFrames(1);
    Store_compact();
}

static int App_didFinishLaunching(const char *home) {
    if (Store_open(home) != 0) {
        abort();
    }
    return Login_start("mooring");
}

int main(int argc, char **argv) {
    if (argc < 1 || App_didFinishLaunching(argv[0]) != 0) {
        return 1;
    }
    for (;;) {
        App_runMainFlow();
        sleep(1);
    }
}
