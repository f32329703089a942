# The reference of C++, with links into that of C.
PROJECT_NAME = "librds: C++"
PROJECT_NUMBER = $(RDS_VERSION)
INPUT = include/rds.hpp docs/reference/cpp.dox
OUTPUT_DIRECTORY = $(RDS_SITE)
HTML_OUTPUT = cpp
TAGFILES = $(RDS_SITE)/../c.tag=../c
GENERATE_LATEX = NO
EXTRACT_ALL = YES
EXCLUDE_SYMBOLS = rds::detail rds::detail::*
# An inline namespace tells parts with and without exceptions apart when they are linked; nobody writes its name.
INPUT_FILTER = "sed -e '/^inline namespace/d; /^}  ..  *inline namespace/d'"
MACRO_EXPANSION = YES
EXPAND_ONLY_PREDEF = YES
PREDEFINED = RDS_API= RDS_NODISCARD= __cplusplus=201703L __cpp_exceptions=199711L
BUILTIN_STL_SUPPORT = YES
SORT_MEMBER_DOCS = NO
VERBATIM_HEADERS = NO
SHOW_INCLUDE_FILES = NO
HAVE_DOT = NO
SEARCHENGINE = YES
QUIET = YES
WARN_AS_ERROR = FAIL_ON_WARNINGS
