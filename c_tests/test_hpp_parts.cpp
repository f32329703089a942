// Parts of jobs through rds.hpp: published, packed and listed, with what callbacks throw.
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "hpp.h"

constexpr std::uint64_t EACH = 5;

static rds::Token part_of(const char *path, const char *job, std::uint64_t number, std::uint64_t first) {
    rds::WriterOptions options;
    options.mode = RDS_MODE_STAGED;
    options.job = job;
    options.part = number;
    rds::Writer writer = rds::Writer::open(path, options);
    hpp_write(writer, first, EACH);
    rds::Token token = writer.stage();
    writer.close();
    return token;
}

static std::vector<rds::Token> parts_of(const char *path, const char *job, std::uint64_t count) {
    std::vector<rds::Token> tokens;
    // The last ones first.
    for (std::uint64_t part = count; part-- > 0;) tokens.push_back(part_of(path, job, part, part * EACH));
    return tokens;
}

struct Told {
    std::string job;
    std::uint64_t first, last;
    rds::Token token;
};

static bool operator==(const Told &one, const Told &other) {
    return one.job == other.job && one.first == other.first && one.last == other.last && one.token == other.token;
}

static std::vector<Told> all_parts(const char *path, const char *job = nullptr,
                                   std::optional<std::uint64_t> part = {}) {
    std::vector<Told> told;
    const auto add = [&](std::string_view of, std::uint64_t first, std::uint64_t last,
                         rds::span<const std::uint8_t> token) {
        told.push_back({std::string(of), first, last, rds::Token(token.begin(), token.end())});
    };
    rds::list_parts(path, add, job, part);
    return told;
}

static void check_rows(const char *path, std::uint64_t rows) {
    const rds::Reader reader = rds::Reader::open(path);
    CHECK_NUMBER(reader.size(), rows);
    CHECK(reader.read<float>(reader.column(), hpp_rows(0, rows)) == hpp_values(0, rows));
}

TEST(a_job_is_published_in_the_order_of_its_parts_and_may_be_published_again) {
    const check_path_text path = check_path();
    const std::vector<rds::Token> tokens = parts_of(path.text, "job", 3);
    const rds_commit_info info = rds::commit_parts(path.text, "job", tokens);
    CHECK(info.rows == 3 * EACH && info.data_files == 1 && info.version == 1);
    check_rows(path.text, 3 * EACH);
    const rds_commit_info again = rds::commit_parts(std::string(path.text), std::string("job"), tokens);
    CHECK(again.rows == 0 && again.version == 1);
    CHECK(all_parts(path.text) == std::vector<Told>({{"job", 0, 2, {}}}));
}

TEST(tokens_of_another_job_are_refused) {
    const check_path_text path = check_path();
    const rds::Token token = part_of(path.text, "job", 0, 0);
    const char *const what = "rds_commit_staged: token 0: it is no part of the job \"other\"";
    CHECK_THROWS(rds::commit_parts(path.text, "other", {token}), RDS_ERR_INVALID_ARGUMENT, what);
    CHECK_TELLS(rds::commit_parts(path.text, "other", {token}, RDS_MODE_CREATE, &failure), RDS_ERR_INVALID_ARGUMENT,
                what);
    CHECK_THROWS(rds::pack_parts(path.text, "other", {token}), RDS_ERR_INVALID_ARGUMENT, "rds_pack_parts: token 0");
    CHECK_THROWS(rds::pack_parts(path.text, "job", {token}, 2, 2), RDS_ERR_INVALID_ARGUMENT, "options.share is 2");
    CHECK_THROWS(rds::commit_parts(path.text, "job", {token}, RDS_MODE_APPEND), RDS_ERR_NOT_FOUND, "rds_commit_staged");
    rds::error failure(RDS_ERR_IO, "from before");
    CHECK_NUMBER(rds::commit_parts(path.text, "job", {token}, RDS_MODE_CREATE, &failure).rows, EACH);
    CHECK(!failure);
}

TEST(files_are_packed_by_shares) {
    const check_path_text path = check_path();
    std::vector<std::string> tokens;
    for (const rds::Token &token : parts_of(path.text, "job", 2)) tokens.emplace_back(token.begin(), token.end());
    CHECK_NUMBER(rds::pack_parts(path.text, "job", tokens, 1, 2), 0);
    CHECK_NUMBER(rds::pack_parts(path.text, "job", tokens, 0, 2), 2 * EACH);
    CHECK_NUMBER(rds::pack_parts(path.text, "job", tokens), 2 * EACH);
    rds::error failure(RDS_ERR_IO, "from before");
    CHECK_NUMBER(rds::pack_parts(path.text, "job", tokens, 0, 1, RDS_MODE_OVERWRITE, &failure), 2 * EACH);
    CHECK(!failure);
    CHECK_NUMBER(rds::commit_parts(path.text, "job", tokens).rows, 2 * EACH);
    // They are in the table, so nothing is to be done.
    CHECK_NUMBER(rds::pack_parts(path.text, "job", tokens, 0, 1, RDS_MODE_APPEND), 0);
    check_rows(path.text, 2 * EACH);
}

TEST(parts_are_listed_with_their_tokens) {
    const check_path_text path = check_path();
    CHECK_NUMBER(rds::commit_parts(path.text, "done", parts_of(path.text, "done", 2)).rows, 2 * EACH);
    const rds::Token one = part_of(path.text, "left", 1, 0), four = part_of(path.text, "left", 4, 0);
    const Told done = {"done", 0, 1, {}}, first = {"left", 1, 1, one}, last = {"left", 4, 4, four};
    CHECK(all_parts(path.text) == std::vector<Told>({done, first, last}));
    CHECK(all_parts(path.text, "left") == std::vector<Told>({first, last}));
    CHECK(all_parts(path.text, "left", 4) == std::vector<Told>({last}));
    CHECK(all_parts(path.text, nullptr, 1) == std::vector<Told>({{"done", 1, 1, {}}, first}));
    CHECK(all_parts(path.text, "none").empty());
    // A driver that died goes on with what it finds.
    std::vector<rds::Token> found;
    for (const Told &told : all_parts(path.text, "left")) found.push_back(told.token);
    CHECK_NUMBER(rds::commit_parts(path.text, "left", found, RDS_MODE_APPEND).rows, 2 * EACH);
    CHECK(all_parts(path.text, "left") == std::vector<Told>({{"left", 1, 1, {}}, {"left", 4, 4, {}}}));
    CHECK_THROWS(all_parts(check_path().text), RDS_ERR_NOT_FOUND, "rds_list_parts: there is nothing at ");
    CHECK_TELLS(rds::list_parts(path.text, nullptr, nullptr, {}, &failure), RDS_ERR_INVALID_ARGUMENT, "each is NULL");
}

TEST(a_callback_stops_the_list_or_throws_at_the_call) {
    const check_path_text path = check_path();
    const std::vector<rds::Token> tokens = parts_of(path.text, "job", 3);
    int told = 0;
    const auto stops = [&](std::string_view, std::uint64_t, std::uint64_t, rds::span<const std::uint8_t>) {
        return ++told == 2;
    };
    rds::list_parts(path.text, stops);
    CHECK_NUMBER(told, 2);
    const auto throws = [&](auto, auto, auto, auto) -> void {
        told++;
        throw std::out_of_range("of the caller");
    };
    rds::error failure(RDS_ERR_IO, "from before");
    // Where there is a place for errors too: it is none of librds.
    for (rds::error *place : {static_cast<rds::error *>(nullptr), &failure}) {
        told = 0;
        try {
            rds::list_parts(path.text, throws, "job", {}, place);
            CHECK(false);
        } catch (const std::out_of_range &thrown) {
            CHECK_TEXT(thrown.what(), "of the caller");
        }
        CHECK_NUMBER(told, 1);
    }
    // Nothing of it is left for the next call.
    CHECK_NUMBER(all_parts(path.text).size(), 3);
    CHECK_NUMBER(rds::commit_parts(path.text, "job", tokens).rows, 3 * EACH);
}

CHECK_MAIN(RUN(a_job_is_published_in_the_order_of_its_parts_and_may_be_published_again),
           RUN(tokens_of_another_job_are_refused), RUN(files_are_packed_by_shares),
           RUN(parts_are_listed_with_their_tokens), RUN(a_callback_stops_the_list_or_throws_at_the_call))
