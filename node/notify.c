#include "node/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Of a variable, 0 when it is no number. */
static unsigned long long number_of(const char *text)
{
    return text != NULL && text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : 0;
}

static fm_ms beat_every(void)
{
    unsigned long long us = number_of(getenv("WATCHDOG_USEC"));
    const char *pid = getenv("WATCHDOG_PID");

    if (us < 2000 || us > INT64_MAX || (pid != NULL && number_of(pid) != (unsigned)getpid()))
        return FM_MS_NEVER;
    return (fm_ms)(us / 2000);
}

static enum fm_status open_socket(const char *name, int *out, struct fm_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof address.sun_path)
        return fm_fail(err, FM_INVALID, "NOTIFY_SOCKET names no socket: '%.40s'", name);
    memcpy(address.sun_path, name, len);
    if (name[0] == '@') /* A name outside the file system. */
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fm_fail_errno(err, FM_IO, errno, "open a socket for the service manager");
    if (connect(fd, (const struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) != 0) {
        int reason = errno;
        (void)close(fd); /* Nothing was sent. */
        return fm_fail_errno(err, FM_IO, reason, "reach the service manager at %s", name);
    }
    *out = fd;
    return FM_OK;
}

enum fm_status fm_notify_open(struct fm_notify *notify, struct fm_error *err)
{
    const char *name = getenv("NOTIFY_SOCKET");
    enum fm_status status = FM_OK;

    *notify = (struct fm_notify){.fd = -1, .every = beat_every()};
    if (name != NULL && name[0] != '\0')
        status = open_socket(name, &notify->fd, err);
    (void)unsetenv("NOTIFY_SOCKET"); /* Cannot fail with these names. */
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    return status;
}

void fm_notify_tell(const struct fm_notify *notify, const char *text)
{
    if (notify->fd >= 0)
        (void)send(notify->fd, text, strlen(text), MSG_NOSIGNAL); /* It acts when it hears none. */
}

void fm_notify_beat(struct fm_notify *notify, fm_ms now)
{
    if (notify->every == FM_MS_NEVER || now - notify->beaten < notify->every)
        return;
    notify->beaten = now;
    fm_notify_tell(notify, "WATCHDOG=1");
}

void fm_notify_close(struct fm_notify *notify)
{
    if (notify->fd >= 0)
        (void)close(notify->fd); /* Nothing to lose. */
    notify->fd = -1;
}
