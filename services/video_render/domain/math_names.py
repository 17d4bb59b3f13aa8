"""Names that mathematics may use: the Typst ones that are allowed, and what LaTeX commands become."""

from __future__ import annotations

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi "
    "chi psi omega Alpha Beta Gamma Delta Epsilon Zeta Eta Theta Iota Kappa Lambda Mu Nu Xi Omicron Pi Rho Sigma Tau "
    "Upsilon Phi Chi Psi Omega epsilon.alt theta.alt phi.alt rho.alt sigma.alt pi.alt"
)
_OPERATORS = (
    "arccos arcsin arctan arg cos cosh cot csc ctg deg det dim exp gcd lcm inf ker lg lim liminf limsup ln log max "
    "min mod sec sin sinc sinh sup tan tanh tg tr Pr hom sech csch coth id im"
)
_FUNCTIONS = (
    "frac sqrt root binom vec mat cases abs norm floor ceil round lr mid op accent hat tilde macron dot overline "
    "underline overbrace underbrace overbracket underbracket cancel bold italic upright sans cal frak mono bb "
    "display inline script attach limits scripts"
)
_SYMBOLS = (
    "sum sum.integral product integral integral.double integral.triple integral.cont infinity partial nabla dif Dif "
    "prime degree angle perp parallel triangle square circle diamond star therefore because qed ell planck aleph "
    "beth gimel dots dots.h dots.v dots.c dots.down times times.o div dot.op dot.c plus minus plus.minus "
    "minus.plus ast star.op compose eq eq.not equiv approx prop tilde.op tilde.eq lt gt lt.eq gt.eq lt.double "
    "gt.double in in.not subset subset.eq supset supset.eq supset.eq subset.neq union inter without emptyset nothing "
    "complement forall exists exists.not not and or xor top bot models tack.r arrow.r arrow.l arrow.t "
    "arrow.b arrow.l.r arrow.r.double arrow.l.double arrow.l.r.double arrow.r.long arrow.r.long.double arrow.r.bar "
    "arrow.t.double arrow.b.double harpoon.rt RR NN ZZ QQ CC PP EE HH space quad wide thin med thick space.quad "
    "chevron.l chevron.r bar bar.v bar.v.double slash slash.big backslash paren.l paren.r bracket.l bracket.r brace.l "
    "brace.r colon comma semi dagger section percent dollar hash at amp oo Re Im RR integral.surf product.co "
    "angle.right triangle.stroked.t square.stroked checkmark divides divides.not gradient"
)

TYPST_NAMES = frozenset(f"{_GREEK} {_OPERATORS} {_FUNCTIONS} {_SYMBOLS}".split())
"""Names of more than one letter that Typst mathematics may use; single letters are always variables."""

LATEX: dict[str, str] = {
    name: name for name in (*_GREEK.split(), *_OPERATORS.split(), "sum", "int", "partial", "nabla", "forall", "exists")
} | {
    "int": "integral", "iint": "integral.double", "iiint": "integral.triple", "oint": "integral.cont",
    "prod": "product", "infty": "infinity", "cdot": "dot.op", "times": "times", "div": "div", "pm": "plus.minus",
    "mp": "minus.plus", "ast": "ast", "circ": "compose", "le": "lt.eq", "leq": "lt.eq", "ge": "gt.eq", "geq": "gt.eq",
    "neq": "eq.not", "ne": "eq.not", "approx": "approx", "equiv": "equiv", "sim": "tilde.op", "propto": "prop",
    "ll": "lt.double", "gg": "gt.double", "in": "in", "notin": "in.not", "subset": "subset", "subseteq": "subset.eq",
    "supset": "supset", "supseteq": "supset.eq", "cup": "union", "cap": "inter", "setminus": "without",
    "emptyset": "emptyset", "varnothing": "emptyset", "neg": "not", "lnot": "not", "land": "and", "lor": "or",
    "to": "arrow.r", "rightarrow": "arrow.r", "leftarrow": "arrow.l", "Rightarrow": "arrow.r.double",
    "Leftarrow": "arrow.l.double", "Leftrightarrow": "arrow.l.r.double", "leftrightarrow": "arrow.l.r",
    "implies": "arrow.r.double.long", "iff": "arrow.l.r.double.long", "mapsto": "arrow.r.bar",
    "longrightarrow": "arrow.r.long",
    "therefore": "therefore", "because": "because", "ldots": "dots.h", "cdots": "dots.c", "dots": "dots.h",
    "vdots": "dots.v", "ddots": "dots.down", "quad": "quad", "qquad": "wide", ",": "thin", ";": "med", ":": "med",
    "!": "", " ": "space", "|": "bar.v.double", "vert": "bar.v", "mid": "bar.v", "angle": "angle", "perp": "perp",
    "parallel": "parallel", "degree": "degree", "prime": "prime", "hbar": "planck", "ell": "ell",
    "Re": "Re", "Im": "Im",
    "varepsilon": "epsilon", "epsilon": "epsilon.alt", "vartheta": "theta.alt", "varphi": "phi", "phi": "phi.alt",
    "varrho": "rho.alt", "varsigma": "sigma.alt", "langle": "chevron.l", "rangle": "chevron.r", "vec": "arrow",
    "hat": "hat", "bar": "macron", "tilde": "tilde", "dot": "dot", "ddot": "dot.double", "overline": "overline",
    "underline": "underline", "mathbf": "bold", "mathcal": "cal", "mathbb": "bb",
    "square": "square", "blacksquare": "qed",
    "%": "percent", "&": "amp", "lfloor": "floor.l", "rfloor": "floor.r", "lceil": "ceil.l", "rceil": "ceil.r",
}  # fmt: skip
TYPST_NAMES |= {name for name in LATEX.values() if name}
