/* The floor under everybody who sends singly: one send() a delivery, and nothing else. */

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* Sends a frame to each socket, `events` times over. Returns 0, or errno of a send that
 * failed; a socket that is full is waited for. */
int deliver(const int *sockets, int count, const char *frame, int size, int events)
{
    for (int event = 0; event < events; event++) {
        for (int i = 0; i < count; i++) {
            int sent = 0;
            while (sent < size) {
                ssize_t n = send(sockets[i], frame + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n >= 0) {
                    sent += n;
                } else if (errno == EAGAIN) {
                    struct pollfd full = {.fd = sockets[i], .events = POLLOUT};
                    poll(&full, 1, 1000);
                } else {
                    return errno;
                }
            }
        }
    }
    return 0;
}
