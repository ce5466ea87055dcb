/* queue.c: a ring under one mutex; batches are large, so contention is not a concern. */
#include "base/queue.h"

void queue_init(struct queue *q, size_t cap)
{
	*q = (struct queue){.cap = cap < 1 ? 1 : cap > QUEUE_MAX ? QUEUE_MAX : cap};
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->can_put, NULL);
	pthread_cond_init(&q->can_get, NULL);
}

void queue_done(struct queue *q)
{
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->can_put);
	pthread_cond_destroy(&q->can_get);
}

bool queue_put(struct queue *q, void *item)
{
	pthread_mutex_lock(&q->lock);
	while (q->n == q->cap && !q->closed)
		pthread_cond_wait(&q->can_put, &q->lock);
	bool ok = !q->closed;
	if (ok) {
		q->item[(q->head + q->n++) % QUEUE_MAX] = item;
		pthread_cond_signal(&q->can_get);
	}
	pthread_mutex_unlock(&q->lock);
	return ok;
}

bool queue_get(struct queue *q, void **ret_item)
{
	pthread_mutex_lock(&q->lock);
	while (q->n == 0 && !q->closed)
		pthread_cond_wait(&q->can_get, &q->lock);
	bool ok = q->n > 0;
	if (ok) {
		*ret_item = q->item[q->head];
		q->head = (q->head + 1) % QUEUE_MAX;
		q->n--;
		pthread_cond_signal(&q->can_put);
	}
	pthread_mutex_unlock(&q->lock);
	return ok;
}

void queue_close(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_cond_broadcast(&q->can_put);
	pthread_cond_broadcast(&q->can_get);
	pthread_mutex_unlock(&q->lock);
}
