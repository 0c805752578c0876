#include "views.h"

#include "cgroups.h"
#include "covers.h"
#include "mounts.h"
#include "pump.h"
#include "site.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t view_size(const char *structure)
{
	const struct {
		const char *name;
		size_t size;
	} sizes[] = {
		{"ending", sizeof(struct ending)},
		{"fields", sizeof(struct fields)},
		{"pump", sizeof(struct pump)},
	};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		if (strcmp(sizes[i].name, structure) == 0)
			return sizes[i].size;
	return 0;
}

static void add_span(struct span span, struct fields *fields)
{
	char key[256];
	struct field field;

	while (fields_next(&span, &field)) {
		size_t length = field.length < sizeof key ? field.length : sizeof key - 1;
		memcpy(key, field.key, length);
		key[length] = '\0';
		fields_add(fields, key, field.value);
	}
}

void view_fields(const char *data, size_t size, struct fields *fields)
{
	add_span((struct span){data, data + size}, fields);
}

int view_section(int directory, const char *name, struct fields *fields)
{
	struct record record;
	struct span section;

	if (record_read(directory, RECORD, &record) < 0)
		return -1;
	bool found = record_section(&record, name, &section);
	if (found)
		add_span(section, fields);
	record_release(&record);
	return found;
}

int view_has_others(int directory, const char *name)
{
	struct record record;

	if (record_read(directory, RECORD, &record) < 0)
		return -1;
	bool found = record_has_others(&record, name);
	record_release(&record);
	return found;
}

static void add_text(struct fields *fields, const char *key, const char *value)
{
	if (value)
		fields_add(fields, key, value);
}

static void add_list(struct fields *fields, const char *key, char *const *list)
{
	for (; *list; list++)
		fields_add(fields, key, *list);
}

void view_order_fields(const struct order *order, struct fields *fields)
{
	add_list(fields, "arg", order->argv);
	add_list(fields, "env", order->envp);
	for (size_t i = 0; i < order->hidden_count; i++)
		fields_add(fields, "hide", order->hidden[i]);
	for (size_t i = 0; i < order->group_count; i++)
		fields_print(fields, "group", "%u", order->groups[i]);
	fields_print(fields, "uid", "%u", order->uid);
	fields_print(fields, "gid", "%u", order->gid);
	add_text(fields, "cwd", order->cwd);
	add_text(fields, "account", order->account);
	add_text(fields, "executable", order->executable);
	add_text(fields, "stdin", order->input);
	add_text(fields, "memory", order->memory_limit);
	add_text(fields, "cpus", order->cpus);
	add_text(fields, "pids", order->pids);
	add_text(fields, "openFiles", order->open_files);
	add_text(fields, "nice", order->nice);
	fields_print(fields, "rows", "%u", order->rows);
	fields_print(fields, "cols", "%u", order->cols);
	if (order->is_timed)
		fields_print(fields, "timeout", "%.3f", order->timeout);
	fields_print(fields, "grace", "%.3f", order->grace);
	if (order->has_output_limit)
		fields_print(fields, "output", "%" PRIu64, order->output);
	if (order->kill_over_output)
		fields_add(fields, "outputAction", "kill");
	fields_print(fields, "tmp", "%" PRIu64, order->tmp);
	fields_add(fields, "hasLimits", order_has_limits(order) ? "yes" : "no");
}

int view_order(int directory, uid_t uid, struct fields *fields)
{
	struct order order;
	struct failure failure;

	if (order_read(&order, directory, uid, &failure) < 0) {
		failure_fields(fields, &failure);
		return -1;
	}
	view_order_fields(&order, fields);
	order_release(&order);
	return 0;
}

int view_stop(struct ending *ending, double now, const char *section, size_t size)
{
	return (int)ending_stop(ending, now, (struct span){section, section + size});
}

void view_move_deadline(struct ending *ending, const char *section, size_t size)
{
	ending_move_deadline(ending, (struct span){section, section + size});
}

void view_ending(const struct ending *ending, struct fields *fields)
{
	add_text(fields, "cause", ending->cause);
	fields_copy(fields, &ending->why);
}

int view_mounts(const char *text, struct fields *fields)
{
	struct mounts mounts = {0};
	char *copy = strdup(text);

	if (!copy || mounts_parse(&mounts, copy) < 0)
		return -1;
	for (size_t i = 0; i < mounts.count; i++) {
		fields_add(fields, "device", mounts.all[i].device);
		fields_add(fields, "root", mounts.all[i].root);
		fields_add(fields, "point", mounts.all[i].point);
		fields_add(fields, "kind", mounts.all[i].kind);
	}
	mounts_release(&mounts);
	return 0;
}

int view_covers(int mountinfo, const char *state, const char **hidden, int count,
		struct fields *fields)
{
	struct site site = {.state = state, .hidden = hidden, .hidden_count = count};
	struct covers covers = {.mountinfo = mountinfo, .names = NOTHING, .watch = NOTHING};
	int result = covers_look(&covers, &site);

	for (size_t i = 0; i < covers.paths.count; i++)
		fields_add(fields, "path", covers.paths.all[i]);
	paths_release(&covers.paths);
	mounts_release(&covers.mounts);
	return result;
}

static void add_cgroup(const struct cgroups *cgroups, struct fields *fields)
{
	for (int i = 0; i < cgroups->count; i++)
		fields_print(fields, "part", "%d %s", cgroups->parts[i].place->version,
			     cgroups->parts[i].place->path);
	fields_add(fields, "countsProcesses", cgroups->counts_processes ? "yes" : "no");
	fields_add(fields, "hasRoomForExec", cgroups_has_room_for_exec(cgroups) ? "yes" : "no");
}

int view_cgroup(const char *place, const char *ceiling, int directory, const char *name,
		bool kept, struct fields *fields)
{
	static char words[2][4096];
	struct places places = {0};
	struct cgroups cgroups;
	struct order order;
	struct failure failure;

	if (strlen(place) >= sizeof *words || strlen(ceiling) >= sizeof *words)
		return -1;
	strcpy(words[0], place);
	strcpy(words[1], ceiling);
	if (order_read(&order, directory, 0, &failure) < 0 || places_add(&places, words[0]) < 0 ||
	    (*ceiling && places_limit(&places, words[1]) < 0))
		return -1;
	int result = cgroups_make(&cgroups, &places, &order, name, &failure);
	if (result < 0)
		failure_fields(fields, &failure);
	add_cgroup(&cgroups, fields);
	if (kept)
		cgroups_close(&cgroups);
	else
		cgroups_remove(&cgroups);
	for (int i = 0; i < places.count; i++)
		close(places.all[i].directory);
	order_release(&order);
	return result;
}
