#include <curl/curl.h>

// Swift calls no variadic functions: one typed call for each kind of value that an option takes.

static inline CURLcode ccurl_global_init(void) { return curl_global_init(CURL_GLOBAL_ALL); }

static inline CURLcode ccurl_set_number(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode ccurl_set_size(CURL *easy, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(easy, option, value);
}

// For what libcurl copies: strings.
static inline CURLcode ccurl_set_text(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value);
}

// For what libcurl keeps the address of: lists, buffers, MIME structures, contexts of callbacks.
static inline CURLcode ccurl_set_pointer(CURL *easy, CURLoption option, void *value) {
    return curl_easy_setopt(easy, option, value);
}

// CURLOPT_WRITEFUNCTION and CURLOPT_HEADERFUNCTION.
typedef size_t (*ccurl_take)(char *bytes, size_t size, size_t count, void *context);
static inline CURLcode ccurl_set_take(CURL *easy, CURLoption option, ccurl_take take) {
    return curl_easy_setopt(easy, option, take);
}

static inline CURLcode ccurl_set_progress(CURL *easy, curl_xferinfo_callback progress) {
    return curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, progress);
}

static inline CURLcode ccurl_set_debug(CURL *easy, curl_debug_callback debug) {
    return curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, debug);
}

static inline CURLcode ccurl_set_open(CURL *easy, curl_opensocket_callback open) {
    return curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open);
}

static inline CURLcode ccurl_set_close(CURL *easy, curl_closesocket_callback close) {
    return curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close);
}

static inline CURLcode ccurl_get_number(CURL *easy, CURLINFO info, long *value) {
    return curl_easy_getinfo(easy, info, value);
}

static inline CURLcode ccurl_get_size(CURL *easy, CURLINFO info, curl_off_t *value) {
    return curl_easy_getinfo(easy, info, value);
}

// The result of a message in a union.
static inline CURLcode ccurl_result(const CURLMsg *message) { return message->data.result; }
