/* documents.c: a tenant's two documents as the API needs them: parsed, cross-checked, with the tables they register. */
#include "api/server.h"

#include "base/problems.h"
#include "quality/gate.h"
#include "tenant/agreement.h"
#include "tenant/data_file.h"

#include <string.h>

void documents_parse(struct span data_file, struct span agreement, struct arena *a, struct problems *p,
		     struct documents *ret)
{
	struct documents d = {.data_file_text = data_file, .agreement_text = agreement};
	p->document = "data-file.json";
	d.data_file = data_file_parse(data_file, "data-file.json", a, p);
	p->document = "service-agreement.json";
	d.agreement = agreement_parse(agreement, "service-agreement.json", a, p);
	if (d.data_file && d.agreement)
		(void)quality_plan_new(d.data_file, d.agreement->quality, a, p);
	if (d.data_file)
		d.tables[0] = arena_printf(a, "%s.%s", d.data_file->key_space, d.data_file->schema->name);
	*ret = d;
}

void documents_done(struct documents *d)
{
	if (d)
		data_file_done(d->data_file);
}

enum err_code tenant_find(struct req *r, const char *id, struct catalog_tenant *ret, struct err *e)
{
	enum err_code code = ERR_NOT_FOUND;
	if (!tenant_id_check(id))
		code = catalog_tenant_get(r->api->o.catalog, id, &r->arena, ret, e);
	if (code == ERR_NOT_FOUND) {
		err_set(e, ERR_NOT_FOUND, "there is no tenant \"%.80s\"", id);
		err_hint(e, "mysimbdp tenant list shows all of them; mysimbdp tenant add DIR adds one");
	}
	return code;
}

enum err_code documents_of(struct req *r, const char *tenant, struct catalog_tenant *ret_t, struct documents *ret,
			   struct err *e)
{
	enum err_code code = tenant_find(r, tenant, ret_t, e);
	if (code)
		return code;
	struct problems p;
	problems_init(&p, "data-file.json", &r->arena);
	documents_parse(span_str(ret_t->data_file), span_str(ret_t->agreement), &r->arena, &p, ret);
	if (ret->data_file && ret->agreement)
		return ERR_OK;
	err_set(e, ERR_INTERNAL, "the documents of tenant \"%s\" in the ledger can no longer be read (%u errors)",
		tenant, p.errors);
	r->problems = arena_alloc(&r->arena, sizeof p);
	if (r->problems)
		*r->problems = p;
	documents_done(ret);
	*ret = (struct documents){0};
	return err_hint(e, "a newer version of mysimbdp reads them more strictly: give the tenant corrected documents");
}
