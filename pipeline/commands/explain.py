def add(parser):
    parser.add_argument("x", nargs="*")


def main(args):
    return 1
