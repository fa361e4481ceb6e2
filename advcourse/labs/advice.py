"""What torch's errors mean, in the words of the labs. torch names the operation that failed; the cause is often some lines above.

`ADVICE` is the one table. Each row has a pattern of the trace, and the sentences that a student gets beneath it. The first row
that matches speaks, so a special case stands before a general one.
"""

import re

ADVICE = (
    (
        r"appears? to not have been used in the graph",
        "The loss does not depend on the tensor whose gradient you ask for. Compute the loss from that very tensor: if "
        "you ask for the gradient of x_i, call model(x_i), with no copy and no .detach() in between.",
    ),
    (
        r"\.grad\b[\s\S]*NoneType",
        "Here .grad is None, for no gradient has arrived there. Make the copy require one, x_i = "
        "x.clone().requires_grad_(), compute the loss from x_i itself, and call loss.backward() before you read x_i.grad."
        " Shorter: torch.autograd.grad(loss, x_i)[0].",
    ),
    (
        r"KeyError: '(?:android:|name'|\{)|'NoneType' object has no attribute '(?:starts|ends|remove|rsplit|replace|strip)"
        r"|'NoneType' is not iterable",
        "A text is missing. If it is an attribute of an XML element: ElementTree puts the namespace in front, so that "
        "android:name is called ANDROID + 'name', and get('android:name') or get('name') gives None. Elements such as `data` "
        "have no name at all: choose elements by their tag first.",
    ),
    (
        r"NoneType",
        "A value is None where a tensor is needed. Look at the names in that line: either one is a .grad into which no "
        "gradient has arrived, or it is the result of a function whose `return` is missing.",
    ),
    (
        r"element 0 of tensors does not require grad",
        "The loss is not connected to anything that requires a gradient. Call x_i = x.clone().requires_grad_() before "
        "model(x_i), and compute the loss outside of torch.no_grad(), without .detach(), .item() or argmax on the way.",
    ),
    (
        r"One of the differentiated Tensors does not require grad",
        "You ask for the gradient by a tensor that does not require one. Call x_i = x.clone().requires_grad_() first, "
        "then compute the loss from x_i.",
    ),
    (
        r"leaf Variable that requires grad is being used in an in-place",
        "A tensor that requires a gradient is changed in place, by +=, by an assignment to part of it, or by a method "
        "whose name ends in an underscore. Make a new tensor instead: x_i = (x_i + step).detach().",
    ),
    (
        r"backward through the graph a second time",
        "The first gradient has used up the graph. In a loop, compute the loss anew in every step, and cut x_i off from "
        "the step before: x_i = x_i.detach().requires_grad_(). Only two gradients of one and the same loss need "
        "retain_graph=True.",
    ),
    (
        r"modified by an inplace operation",
        "A tensor that the gradient still needs was changed in place, by +=, by an assignment to part of it, or by a "
        "method whose name ends in an underscore. Make a new tensor instead: x_i = x_i + step.",
    ),
    (
        r"grad can be implicitly created only for scalar outputs",
        "The loss holds several numbers, one for each image, and a gradient is taken of one. Add them up first, "
        "loss.sum(): as no image depends on another, each still gets its own gradient.",
    ),
    (
        r"Can't call numpy\(\) on Tensor that requires grad",
        "numpy knows no gradients. Stay with torch's functions; for a number that is only shown, call .detach() first.",
    ),
    (
        r"expected scalar type Long|target dtype to be Long|must be long, int|int32/int64 for index|index tensors? of type Long",
        "Labels and indices are whole numbers: give labels of shape (N,) as they come, or the result of argmax, and call "
        ".long() on what has become a float.",
    ),
    (
        r"same dtype|dtypes match|expected scalar type|Input type \(.*should be the same|Expected self\.dtype to be equal",
        "Numbers of two types meet, such as float32 and float64. Take the type from x: torch.zeros_like(x) or "
        "value.to(x), and no .float() or .double(); what comes from numpy is float64.",
    ),
    (
        r"Target -?\d+ is out of bounds",
        "A label names a class that the model does not have. Are these the labels, and do the logits have the shape (N, "
        "number of classes)?",
    ),
    (
        r"[Ii]ndex -?\d+ (?:is|was) out of bounds|index out of range",
        "An index is larger than its dimension allows. Counting starts at 0. Does the index belong to this dimension: "
        "image, class, channel, row, column?",
    ),
    (
        r"must match the size of tensor|broadcastable|must match the existing size",
        "Two tensors do not fit together, counted from the last dimension. One number for each image, shape (N,), is made"
        " to fit images by .view(-1, 1, 1, 1).",
    ),
    (
        r"shapes cannot be multiplied",
        "The number of columns on the left must be the number of rows on the right. Is an image flattened, flatten(1), or "
        "a matrix transposed, where it should not be, or not where it should? For a product element by element write *.",
    ),
    (
        r"is invalid for input of size|match target batch_size",
        "The tensor holds another number of values than this line expects. Print the shape in the line before; flatten(1)"
        " keeps the images apart, and -1 stands for the one dimension that torch can work out.",
    ),
    (
        r"Boolean value of Tensor with more than one value",
        "`if`, `and`, `or` and `not` ask for one answer, and each image of the batch has its own. Use a mask: "
        "torch.where(mask, a, b), and &, | and ~ between masks.",
    ),
    (
        r"'tuple' object has no attribute|(?:not|and|:) 'tuple'|must be Tensor, not tuple",
        "Here a tuple stands where a tensor is needed. torch.autograd.grad returns a tuple, even for one tensor: take its"
        " first entry, [0].",
    ),
    (
        r"torch\.return_types|must be Tensor, not torch\.return_types",
        "With a dimension, max, min, sort and topk return two tensors, the values and their places. Take .values or "
        ".indices, or call amax, amin or argmax.",
    ),
    (
        r"could not infer output dtype|[Cc]an only calculate the mean of floating",
        "A mean of whole numbers or of True and False is not defined. Turn them into floating-point numbers first: "
        "mask.double().mean().",
    ),
    (
        r"Subtraction, the `-` operator, with",
        "True and False are no numbers to torch here. Make numbers of them first, 1 and 0: mask.double() - 0.5, for example.",
    ),
    (
        r"[Oo]nly Tensors of floating point",
        "Only floating-point numbers have gradients; labels and masks have none. Did you mean the images?",
    ),
    (
        r"Expected all tensors to be on the same device",
        "Some numbers are on the GPU and some are not. Make new tensors where x is: torch.zeros_like(x), or device=x.device.",
    ),
)


def meaning(trace: str) -> str:
    """The sentences for the error at the end of `trace`, the last lines of a traceback; "" where torch's words say enough."""
    for pattern, sentences in ADVICE:
        if re.search(pattern, trace):
            return sentences
    return ""


def explained(trace: str) -> str:
    """The trace, and beneath it what it means, where that is known."""
    found = meaning(trace)
    return f"{trace}\nThis means: {found}" if found else trace
