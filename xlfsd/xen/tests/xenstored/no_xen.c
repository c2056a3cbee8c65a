/*
 * Lets a real xenstored run on a host without Xen.
 *
 * Preloaded into xenstored (LD_PRELOAD), this answers the few calls it makes to the
 * hypervisor as if every domain existed and every event channel and grant were there for the
 * asking. What a client of xenstored sees is then all real: the database, transactions,
 * permissions, quotas, watches, and INTRODUCE and RELEASE too.
 *
 * (`xenstored -D`, which leaves the hypervisor out, is no help: since 4.15 it accepts
 * connections but has no database, and dies of the first request.)
 *
 * It serves C xenstored of 4.2 (the xc_ names) to 4.19, and oxenstored, whose paths are
 * compiled in and therefore turned to XENSTORED_RUNDIR here.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char handle;
static int last_port = 1;

/* libxenctrl */

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags) { return &handle; }
int xc_interface_close(void *xch) { return 0; }

/* The first words of xc_dominfo_t: domid, ssidref, flags, shutdown_reason. */
int xc_domain_getinfo(void *xch, uint32_t first, unsigned count, uint32_t *info)
{
	info[0] = first;
	info[1] = info[2] = info[3] = 0;
	return 1;
}

static void *page(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return at == MAP_FAILED ? NULL : at;
}

void *xc_map_foreign_range(void *xch, uint32_t dom, int size, int prot, unsigned long mfn)
{
	return page();
}

/* libxengnttab */

void *xengnttab_open(void *logger, unsigned flags) { return &handle; }
int xengnttab_close(void *xgt) { return 0; }
int xengnttab_set_max_grants(void *xgt, uint32_t count) { return 0; }
void *xengnttab_map_grant_ref(void *xgt, uint32_t dom, uint32_t ref, int prot) { return page(); }
int xengnttab_unmap(void *xgt, void *at, uint32_t count) { return munmap(at, 4096); }

/* The same in libxenctrl of 4.2 */

void *xc_gnttab_open(void *logger, unsigned flags) { return &handle; }
int xc_gnttab_close(void *xgt) { return 0; }
void *xc_gnttab_map_grant_ref(void *xgt, uint32_t dom, uint32_t ref, int prot) { return page(); }
int xc_gnttab_munmap(void *xgt, void *at, uint32_t count) { return munmap(at, 4096); }

/* libxenevtchn, and its functions in libxenctrl of 4.2 */

static int event_fd(void)
{
	static int fd = -1;
	return fd >= 0 ? fd : (fd = eventfd(0, EFD_CLOEXEC));
}

void *xenevtchn_open(void *logger, unsigned flags) { return &handle; }
void *xenevtchn_fdopen(void *logger, int fd, unsigned flags) { return &handle; }
int xenevtchn_close(void *xce) { return 0; }
int xenevtchn_fd(void *xce) { return event_fd(); }
int xenevtchn_bind_interdomain(void *xce, uint32_t dom, uint32_t port) { return ++last_port; }
int xenevtchn_bind_virq(void *xce, unsigned virq) { return ++last_port; }
int xenevtchn_unbind(void *xce, uint32_t port) { return 0; }
int xenevtchn_notify(void *xce, uint32_t port) { return 0; }
int xenevtchn_unmask(void *xce, uint32_t port) { return 0; }
int xenevtchn_pending(void *xce) { return -1; }

void *xc_evtchn_open(void *logger, unsigned flags) { return &handle; }
int xc_evtchn_close(void *xce) { return 0; }
int xc_evtchn_fd(void *xce) { return event_fd(); }
int xc_evtchn_bind_interdomain(void *xce, int dom, uint32_t port) { return ++last_port; }
int xc_evtchn_bind_virq(void *xce, unsigned virq) { return ++last_port; }
int xc_evtchn_unbind(void *xce, uint32_t port) { return 0; }
int xc_evtchn_notify(void *xce, uint32_t port) { return 0; }
int xc_evtchn_unmask(void *xce, uint32_t port) { return 0; }
int xc_evtchn_pending(void *xce) { return -1; }

/* /proc/xen, where Dom0's kernel says where its own ring is. */

static int proc_xen(const char *path)
{
	int fd = memfd_create(path, MFD_CLOEXEC);
	if (fd < 0)
		return -1;
	if (strstr(path, "port"))
		dprintf(fd, "1");
	else if (ftruncate(fd, 4096))
		return -1;
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int is_proc_xen(const char *path)
{
	return !strncmp(path, "/proc/xen/", 10) || !strcmp(path, "/dev/xen/xsd_kva") ||
	       !strcmp(path, "/dev/xen/xsd_port");
}

#define OPEN(name)                                                              \
	int name(const char *path, int flags, ...)                              \
	{                                                                       \
		static int (*next)(const char *, int, ...);                     \
		va_list arguments;                                              \
		mode_t mode;                                                    \
		va_start(arguments, flags);                                     \
		mode = va_arg(arguments, mode_t);                               \
		va_end(arguments);                                              \
		if (is_proc_xen(path))                                          \
			return proc_xen(path);                                  \
		if (!next)                                                      \
			next = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
		return next(path, flags, mode);                                 \
	}

OPEN(open)
OPEN(open64)

/* oxenstored: sockets below /run/xenstored move to XENSTORED_RUNDIR. */

static const char *moved(const char *path, char *into, size_t size)
{
	const char *dir = getenv("XENSTORED_RUNDIR");
	const char *name = strrchr(path, '/');
	if (!dir || !name || (strncmp(path, "/run/xenstored/", 15) &&
			      strncmp(path, "/var/run/xenstored/", 19)))
		return path;
	snprintf(into, size, "%s%s", dir, name);
	return into;
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
	static int (*next)(int, const struct sockaddr *, socklen_t);
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	if (!next)
		next = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
	if (address->sa_family == AF_UNIX) {
		const char *from = ((const struct sockaddr_un *)address)->sun_path;
		const char *path = moved(from, to.sun_path, sizeof to.sun_path);
		if (path != from)
			return next(fd, (struct sockaddr *)&to, sizeof to);
	}
	return next(fd, address, len);
}

int unlink(const char *path)
{
	static int (*next)(const char *);
	char to[4096];
	if (!next)
		next = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
	return next(moved(path, to, sizeof to));
}

int chmod(const char *path, mode_t mode)
{
	static int (*next)(const char *, mode_t);
	char to[4096];
	if (!next)
		next = (int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "chmod");
	return next(moved(path, to, sizeof to), mode);
}

/* oxenstored insists on a million descriptors, which needs CAP_SYS_RESOURCE. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit) { return 0; }
int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit) { return 0; }
