/*
 * queue.h: a bounded queue of pointers between two threads.
 *
 * queue_put waits while the queue is full, queue_get while it is empty. queue_close wakes both: put then returns
 * false, get drains what is left and then returns false. Thread-safe.
 */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define QUEUE_MAX 64

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t can_put, can_get;
	void *item[QUEUE_MAX];
	size_t head, n, cap;
	bool closed;
};

void queue_init(struct queue *q, size_t cap); /* cap 1..QUEUE_MAX */
void queue_done(struct queue *q);
bool queue_put(struct queue *q, void *item);
bool queue_get(struct queue *q, void **ret_item);
void queue_close(struct queue *q);

#endif
