#include "epoll.h"
#include "timerfd.h"
#include "signalfd.h"
#include "process.h"
