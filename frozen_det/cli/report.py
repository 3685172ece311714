"""Write a report of one run, or of many side by side: one HTML file, and the same as Markdown.

frozen-det report work_dirs/quickstart
frozen-det report work_dirs/frozen_s0 work_dirs/frozen_s1 work_dirs/finetune_s0 -o comparison.html
frozen-det report work_dirs/sweep/*/fraction-1/seed-? --baseline resnet20_plain_cifar10      (classifiers)
"""


def add_arguments(parser) -> None:
    parser.add_argument("work_dirs", nargs="+", metavar="WORK_DIR", help="work directories of runs, finished or not")
    parser.add_argument("-o", "--out", metavar="FILE", help="HTML file (default: report.html in the first WORK_DIR)")
    parser.add_argument(
        "--baseline",
        metavar="CONFIG",
        help="of classifiers: the config that differences are taken "
        "against (default: the recipe `plain`, else the first)",
    )
    parser.add_argument(
        "--second-test",
        metavar="FILE",
        default="second_test.json",
        help="of classifiers: file in each WORK_DIR with the numbers on a second test set, as `test "
        "--out` writes them (default: %(default)s, which `sweep --second-test` writes)",
    )


def run(args) -> int:
    import contextlib
    import sys

    from ..reports.write import write_report

    # mmengine prints to stdout while a model is built; stdout is for the paths alone.
    with contextlib.redirect_stdout(sys.stderr):
        html, markdown = write_report(args.work_dirs, args.out, args.baseline, args.second_test)
    print(f"{html}\n{markdown}")
    return 0
