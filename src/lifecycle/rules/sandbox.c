/* Lua behind limits; it appears in this file only. What always holds: every way to spend memory goes through one
 * allocator with a cap, every way to spend time comes back to a hook that counts instructions and looks at the clock.
 * What would escape the hook is taken away: string patterns and table.move run long in one call, finalizers run with
 * hooks off (no setmetatable), pcall and coroutines would let a rule catch its own end. */
#include "lifecycle/rules/sandbox.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <lua5.4/lauxlib.h>
#include <lua5.4/lua.h>
#include <lua5.4/lualib.h>

#include "ground/base/mem.h"
#include "ground/sys/regex.h"

enum {
    MEMORY_MAX = 8 << 20,
    STEPS_MAX = 1000000,
    STEPS_A_LOOK = 100,
    PATTERN_CALLS_MAX = 50,
    REPEAT_MAX_BYTES = 1 << 20,
    SORT_MAX = 10000, /* elements: it compares without being counted */
    NAME_SIZE = 64
};
static const double SECONDS_MAX = 2; /* of processor time: far beyond what the steps take */

enum outcome { RAN, OUT_OF_STEPS, OUT_OF_TIME };

struct sandbox {
    const char *code, *where;
    size_t n;
    const struct sandbox_input *in;
    size_t used;
    long steps, n_pattern;
    double begin;
    enum outcome outcome;
};

static double processor_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- limits --- */

static void *allocate(void *arg, void *p, size_t old, size_t size)
{
    struct sandbox *s = arg;
    size_t was = p != NULL ? old : 0; /* without a block, old is a kind of object */
    if (size == 0) {
        mem_free(p);
        s->used -= was;
        return NULL;
    }
    if (size > was && s->used + (size - was) > MEMORY_MAX) return NULL;
    void *q = mem_try_realloc(p, size);
    if (q != NULL) s->used += size - was;
    return q;
}

static struct sandbox *of(lua_State *lua)
{
    void *arg;
    lua_getallocf(lua, &arg);
    return arg;
}

static void check_limits(lua_State *lua)
{
    struct sandbox *s = of(lua);
    if (s->steps > STEPS_MAX) s->outcome = OUT_OF_STEPS;
    if (processor_s() - s->begin > SECONDS_MAX) s->outcome = OUT_OF_TIME;
    if (s->outcome != RAN) luaL_error(lua, "the rule was ended");
}

static void look(lua_State *lua, lua_Debug *event)
{
    (void)event;
    of(lua)->steps += STEPS_A_LOOK;
    check_limits(lua);
}

/* --- what a rule may call --- */

/* re.match(text, pattern) -> nil, or the match and its groups. */
static int re_match(lua_State *lua)
{
    size_t n, n_pattern, n_group;
    const char *text = luaL_checklstring(lua, 1, &n), *pattern = luaL_checklstring(lua, 2, &n_pattern);
    struct sandbox *s = of(lua);
    struct regex_span group[REGEX_MAX_GROUP];
    struct regex *r = NULL;
    struct err why = {0};
    bool found = false;
    check_limits(lua);
    if (++s->n_pattern > PATTERN_CALLS_MAX)
        return luaL_error(lua, "re.match is called more than %d times", (int)PATTERN_CALLS_MAX);
    int rc = regex_new(&r, pattern, n_pattern, "re.match", &why);
    if (rc == 0) rc = regex_match(r, text, n, false, &found, group, &n_group, &why);
    regex_free(r);
    if (rc != 0) return luaL_error(lua, "%s", why.msg);
    if (!found) {
        lua_pushnil(lua);
        return 1;
    }
    luaL_checkstack(lua, REGEX_MAX_GROUP, NULL);
    for (size_t i = 0; i < n_group; i++) {
        if (group[i].begin == SIZE_MAX)
            lua_pushnil(lua);
        else
            lua_pushlstring(lua, text + group[i].begin, group[i].end - group[i].begin);
    }
    return (int)n_group;
}

/* string.rep, where the empty text does not take as long as another. */
static int repeat(lua_State *lua)
{
    size_t len;
    const char *text = luaL_checklstring(lua, 1, &len);
    lua_Integer n = luaL_checkinteger(lua, 2);
    luaL_Buffer b;
    if (n > 0 && len > 0 && (size_t)n > REPEAT_MAX_BYTES / len)
        return luaL_error(lua, "string.rep makes more than %d bytes", (int)REPEAT_MAX_BYTES);
    luaL_buffinit(lua, &b);
    for (lua_Integer i = 0; len > 0 && i < n; i++) luaL_addlstring(&b, text, len);
    luaL_pushresult(&b);
    return 1;
}

/* table.sort of a list that is not too long; the first upvalue is the library's. */
static int sort(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TTABLE);
    if (lua_rawlen(lua, 1) > SORT_MAX)
        return luaL_error(lua, "table.sort is given more than %d elements", (int)SORT_MAX);
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, lua_gettop(lua) - 1, 0);
    return 0;
}

static void drop(lua_State *lua, const char *const *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lua_pushnil(lua);
        lua_setfield(lua, -2, name[i]);
    }
}

/* The libraries, without what could harm, hang, or differ from run to run. Methods of strings come from the same table,
 * so they are without it, too. */
static void open_libraries(lua_State *lua)
{
    static const char *const base[] = {"load",    "loadfile", "dofile", "print",        "collectgarbage",
                                       "pcall",   "xpcall",   "warn",   "setmetatable", "getmetatable",
                                       "require", "rawequal", "rawget", "rawset",       "rawlen"};
    static const char *const string[] = {"find", "match", "gmatch", "gsub", "dump", "pack", "unpack", "packsize"};
    static const char *const math[] = {"random", "randomseed"};
    static const char *const table[] = {"move"};
    luaL_requiref(lua, "_G", luaopen_base, 1);
    drop(lua, base, sizeof(base) / sizeof(*base));
    luaL_requiref(lua, "string", luaopen_string, 1);
    drop(lua, string, sizeof(string) / sizeof(*string));
    lua_pushcfunction(lua, repeat);
    lua_setfield(lua, -2, "rep");
    luaL_requiref(lua, "math", luaopen_math, 1);
    drop(lua, math, sizeof(math) / sizeof(*math));
    luaL_requiref(lua, "table", luaopen_table, 1);
    drop(lua, table, sizeof(table) / sizeof(*table));
    lua_getfield(lua, -1, "sort");
    lua_pushcclosure(lua, sort, 1);
    lua_setfield(lua, -2, "sort");
    lua_createtable(lua, 0, 1);
    lua_pushcfunction(lua, re_match);
    lua_setfield(lua, -2, "match");
    lua_setglobal(lua, "re");
    lua_settop(lua, 0);
}

/* --- values --- */

static void push_json(lua_State *lua, const json_t *v)
{
    union {
        const json_t *in;
        json_t *out;
    } iterable = {.in = v}; /* jansson's iterators want it without const and change nothing */
    luaL_checkstack(lua, 4, "the row is nested too deeply");
    if (json_is_object(v)) {
        lua_createtable(lua, 0, (int)json_object_size(v));
        for (void *at = json_object_iter(iterable.out); at; at = json_object_iter_next(iterable.out, at)) {
            lua_pushstring(lua, json_object_iter_key(at));
            push_json(lua, json_object_iter_value(at));
            lua_rawset(lua, -3);
        }
    } else if (json_is_array(v)) {
        lua_createtable(lua, (int)json_array_size(v), 0);
        for (size_t i = 0; i < json_array_size(v); i++) {
            push_json(lua, json_array_get(v, i));
            lua_rawseti(lua, -2, (lua_Integer)i + 1);
        }
    } else if (json_is_string(v)) {
        lua_pushlstring(lua, json_string_value(v), json_string_length(v));
    } else if (json_is_integer(v)) {
        lua_pushinteger(lua, json_integer_value(v));
    } else if (json_is_real(v)) {
        lua_pushnumber(lua, json_real_value(v));
    } else if (json_is_boolean(v)) {
        lua_pushboolean(lua, json_is_true(v));
    } else {
        lua_pushnil(lua);
    }
}

/* Load the chunk; its name is what errors call it. */
static int load(lua_State *lua, const struct sandbox *s)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof(name), "=%s", s->where);
    return luaL_loadbufferx(lua, s->code, s->n, name, "t");
}

/* In protected mode: all that can fail. Leaves one value. */
static int run(lua_State *lua)
{
    struct sandbox *s = lua_touserdata(lua, 1);
    const struct sandbox_input *in = s->in;
    open_libraries(lua);
    if (in == NULL) return load(lua, s) == LUA_OK ? 0 : lua_error(lua);
    lua_pushlstring(lua, in->answer, in->n);
    lua_setglobal(lua, "answer");
    push_json(lua, in->row);
    lua_setglobal(lua, "row");
    lua_pushinteger(lua, (lua_Integer)in->n_token);
    lua_setglobal(lua, "n_tokens");
    lua_pushboolean(lua, in->truncated);
    lua_setglobal(lua, "truncated");
    if (load(lua, s) != LUA_OK) return lua_error(lua);
    lua_sethook(lua, look, LUA_MASKCOUNT, STEPS_A_LOOK);
    lua_call(lua, 0, 1);
    lua_sethook(lua, NULL, 0, 0);
    return 1;
}

static int refuse(const struct sandbox *s, lua_State *lua, int status, struct err *e)
{
    const char *why = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "an error that is no text";
    if (status == LUA_ERRMEM)
        return err_set(e, ERR_LIMIT, s->where, "cannot judge by %s: it takes more than %d bytes of memory", s->where,
                       (int)MEMORY_MAX);
    if (s->outcome == OUT_OF_STEPS)
        return err_set(e, ERR_LIMIT, s->where, "cannot judge by %s: it takes more than %d steps (an endless loop?)",
                       s->where, (int)STEPS_MAX);
    if (s->outcome == OUT_OF_TIME)
        return err_set(e, ERR_LIMIT, s->where, "cannot judge by %s: it takes more than %g s", s->where, SECONDS_MAX);
    return err_set(e, ERR_INPUT, s->where, "cannot judge by %s: %s", s->where, why);
}

static int take_value(const struct sandbox *s, lua_State *lua, bool *applies, double *value, struct err *e)
{
    *applies = !lua_isnil(lua, -1);
    if (!*applies) return 0;
    if (lua_isboolean(lua, -1)) {
        *value = lua_toboolean(lua, -1);
        return 0;
    }
    if (lua_type(lua, -1) != LUA_TNUMBER)
        return err_set(e, ERR_INPUT, s->where,
                       "cannot judge by %s: it returns a %s, a number, a truth value or nil is needed", s->where,
                       luaL_typename(lua, -1));
    *value = lua_tonumber(lua, -1);
    if (isfinite(*value)) return 0;
    return err_set(e, ERR_INPUT, s->where, "cannot judge by %s: it returns %f, a finite number is needed", s->where,
                   *value);
}

static int run_in(struct sandbox *s, bool *applies, double *value, struct err *e)
{
    lua_State *lua = lua_newstate(allocate, s);
    if (lua == NULL) return err_set(e, ERR_NOMEM, s->where, "cannot judge by %s: out of memory", s->where);
    s->begin = processor_s();
    lua_pushcfunction(lua, run);
    lua_pushlightuserdata(lua, s);
    int status = lua_pcall(lua, 1, s->in != NULL ? 1 : 0, 0);
    int rc = status != LUA_OK ? refuse(s, lua, status, e) : 0;
    if (rc == 0 && s->in != NULL) rc = take_value(s, lua, applies, value, e);
    lua_close(lua);
    return rc;
}

int sandbox_check(const char *code, size_t n, const char *where, struct err *e)
{
    struct sandbox s = {.code = code, .n = n, .where = where};
    return run_in(&s, NULL, NULL, e);
}

int sandbox_run(const char *code, size_t n, const char *where, const struct sandbox_input *in, bool *applies,
                double *value, struct err *e)
{
    struct sandbox s = {.code = code, .n = n, .where = where, .in = in};
    return run_in(&s, applies, value, e);
}
